"""Decides what a container of the image is for: scoring, or training."""
