"""Commands that start, check, resume and stop executions."""
