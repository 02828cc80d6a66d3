"""Instances of a job as processes on this machine: start, isolation, logs, supervision and cleanup."""
