"""ClassifyFailure: find out why an attempt failed and whether another attempt can help."""
