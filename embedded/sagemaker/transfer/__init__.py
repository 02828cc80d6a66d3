"""Transfers between S3 and the folders of a job's instances."""
