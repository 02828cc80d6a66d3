"""Writes the outputs of a job: predictions and quarantine."""
