"""Starts scoring or training, depending on the container's arguments."""
