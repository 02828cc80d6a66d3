"""The stage's executions."""
