"""The columns that a model reads and adds: features, keys and predictions."""
