"""Commands of the embedded AWS."""
