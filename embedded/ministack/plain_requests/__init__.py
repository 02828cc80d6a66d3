"""Authentication and authorization of plain requests, with what earlier requests have found out."""
