"""Admission: who gets instances of a quota that all executions of a stage share, and how long the others wait."""
