"""The instances that the executions of a stage share, and their quotas."""
