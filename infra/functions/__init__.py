"""Lambda functions with their permissions, and the events that call them or that they send."""
