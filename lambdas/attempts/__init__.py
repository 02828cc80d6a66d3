"""Job events, commits and failure causes, for the steps that handle a job's attempt."""
