"""The server process: where it listens, and how it is started and stopped."""
