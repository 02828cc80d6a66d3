"""Authentication and authorization of plain requests, with caches of callers and policies."""
