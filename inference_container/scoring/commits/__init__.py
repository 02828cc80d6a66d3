"""The committing side: checks what workers wrote, moves it into place, and writes the markers."""
