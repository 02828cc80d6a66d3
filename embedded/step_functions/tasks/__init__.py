"""Task states: calls to integrations and nested executions."""
