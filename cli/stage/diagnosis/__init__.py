"""Lists executions, explains failures, and reads logs of jobs."""
