"""The Service Quotas API of the embedded AWS."""
