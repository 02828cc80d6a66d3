"""AnnounceStatus: send an event for every status change in the table."""
