"""One instance's part of an attempt: the job spec, the shard, the artifacts and the exit message."""
