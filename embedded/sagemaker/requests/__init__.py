"""Checks of API requests: the service's model, supported members, and lists with their pages."""
