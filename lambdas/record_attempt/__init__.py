"""RecordAttempt: opens the next attempt of a job on the objects that the ledger lacks."""
