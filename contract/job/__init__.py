"""What a job is asked to do, and the ledger of what it has committed."""
