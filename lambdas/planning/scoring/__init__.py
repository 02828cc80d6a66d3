"""Draft a scoring execution: choose models, pin objects, check both, and form jobs. Nothing is written."""
