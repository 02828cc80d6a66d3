"""Closes the records of an execution that has ended: its outcome, its accounting and its summary."""
