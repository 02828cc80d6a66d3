"""The supervisor: it shares the shard's objects out to worker processes."""
