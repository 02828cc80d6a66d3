"""Models that score with code from their artifact: `code/inference.py`, by SageMaker's convention."""
