"""The triggers that start executions automatically: schedules and uploads."""
