"""Checks of requests against the constraints in botocore's models of the services."""
