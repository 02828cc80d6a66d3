"""RegisterModelVersion: a training job's artifact becomes a version, and perhaps the current one."""
