"""Instances as processes on this machine: start, isolation, logs, supervision, cleanup."""
