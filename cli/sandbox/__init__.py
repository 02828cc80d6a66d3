"""Runs a program on this machine with its own files, processes and network, as in a container."""
