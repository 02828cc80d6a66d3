"""A worker process: it scores the objects that the supervisor gives it."""
