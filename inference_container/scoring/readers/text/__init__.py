"""Readers of text formats: CSV and JSON Lines."""
