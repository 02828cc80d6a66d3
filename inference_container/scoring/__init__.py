"""Scores a shard of a dataset with every model of a job: Parquet in, Parquet and ledger out, files only."""
