"""CloudWatch: searching logs, metrics in log lines, metrics of queues and executions,
and alarms.
"""
