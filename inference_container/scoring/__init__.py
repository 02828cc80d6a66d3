"""Scores a shard of a dataset with every model of a job. It reads and writes only files."""
