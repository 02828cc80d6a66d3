"""Executions by time, causes of failures and log lines, as text and as JSON values."""
