"""Requests, the messages between the workflow's states, and the summary of an execution."""
