"""SummarizeExecution: every execution ends in closed records and a summary."""
