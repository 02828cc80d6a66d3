"""Writes the outputs of a job: predictions, quarantine and ledger markers."""
