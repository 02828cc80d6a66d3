"""What the steps of an attempt share: commits, causes, events and task tokens."""
