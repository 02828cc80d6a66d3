"""The definitions of the scoring and training state machines, and the states that both share."""
