"""Draft a training execution: choose recipes, read their datasets, check both, and form jobs. Nothing is written."""
