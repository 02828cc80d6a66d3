"""Scoring a sample on this machine with the container's code."""
