"""CloudWatch in ministack: logs, metrics and alarms."""
