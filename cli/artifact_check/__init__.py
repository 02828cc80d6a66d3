"""Inspection of model files without running them: format, versions, needed classes."""
