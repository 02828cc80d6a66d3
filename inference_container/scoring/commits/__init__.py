"""Checks what workers wrote, moves it into place, and commits it to the ledger."""
