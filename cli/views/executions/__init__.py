"""How executions are shown."""
