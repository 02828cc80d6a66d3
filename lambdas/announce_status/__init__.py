"""announce_status: an event for every status that was written to the table."""
