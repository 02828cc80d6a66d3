"""What starts executions automatically: schedules and uploads."""
