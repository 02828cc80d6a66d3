"""Requests to the embedded AWS: over TLS from everybody, and without a connection from itself."""
