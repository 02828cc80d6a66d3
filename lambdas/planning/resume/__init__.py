"""Draft an execution that continues others: what they planned, what they have scored, and what is left."""
