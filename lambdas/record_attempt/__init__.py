"""RecordAttempt: open the next attempt of a job on the objects that are not committed yet."""
