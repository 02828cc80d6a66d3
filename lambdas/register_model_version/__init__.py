"""RegisterModelVersion: register a trained artifact as a version, and decide on its promotion."""
