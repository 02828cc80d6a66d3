"""What a model reads from a batch and what it gives back: features, keys and predictions."""
