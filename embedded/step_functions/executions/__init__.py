"""Executions while they run: their records, history, logs and cancellation."""
