"""ClassifyFailure: decide why an attempt failed and whether another attempt can help."""
