"""What a job writes: predictions, quarantine and ledger markers."""
