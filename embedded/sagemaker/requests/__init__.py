"""Checks of API requests: the service's model and supported members; and paginated lists."""
