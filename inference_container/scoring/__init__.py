"""Scores a shard of a dataset with every model of a job; reads and writes local files only."""
