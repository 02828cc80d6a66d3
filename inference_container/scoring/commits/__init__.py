"""Checks what workers wrote, moves it into place, and writes its markers."""
