"""Triggers that start executions: schedules and uploads."""
