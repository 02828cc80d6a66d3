"""The supervisor: starts worker processes, assigns objects to them, and retries after crashes."""
