"""Output of commands: tables and lines for people, JSON values for programs."""
