"""Scores a shard of a dataset with every model of a job: files in, predictions and ledger out, files only."""
