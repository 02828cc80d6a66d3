"""What starts executions by itself: schedules and uploads."""
