"""ClassifyFailure: why an attempt failed, and whether another one can help."""
