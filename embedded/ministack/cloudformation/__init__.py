"""Hooks around the resources of a stack."""
