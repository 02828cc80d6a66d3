"""A dataset's objects and their columns, read from S3."""
