"""Plans, and the estimates that they are made of."""
