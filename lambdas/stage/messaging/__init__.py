"""Messages to other services: events, execution starts, task results and queue messages."""
