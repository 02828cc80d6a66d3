"""Let the planner choose the jobs of an execution: what it knows, what it may change, and its choice."""
