"""What each kind of failure looks like, and what is done about it."""
