"""CheckRequest: say what the plan of a request would say, without writing anything."""
