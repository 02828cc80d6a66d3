"""`fleetscore list`, `why` and `logs`."""
