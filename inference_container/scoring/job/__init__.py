"""One instance's part of an attempt: job spec, shard, artifacts and exit message."""
