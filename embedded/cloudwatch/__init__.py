"""CloudWatch: searching logs, metrics of log lines, queues and executions, alarms."""
