"""The spec of a scoring job, its input channels, and the ledger of what it has committed."""
