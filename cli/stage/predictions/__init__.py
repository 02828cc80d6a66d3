"""Complete predictions of a stage: where they are, and their download."""
