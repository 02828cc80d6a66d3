"""The server process: its endpoint and certificates, its start and its stop."""
