"""Trains with the script of a user: its folders, its variables, its process and the check of its model."""
