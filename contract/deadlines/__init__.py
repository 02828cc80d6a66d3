"""When running executions end, and whether that is before their deadlines."""
