"""VerifyOutput: a job has succeeded when every pinned object is committed, and not because a
process said so."""
