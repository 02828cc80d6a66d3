"""What the steps of a job's attempt share: job events, commits, and causes of failures."""
