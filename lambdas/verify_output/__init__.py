"""VerifyOutput: check that every pinned object is committed before a job counts as succeeded."""
