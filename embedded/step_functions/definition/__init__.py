"""Validation of definitions, as CreateStateMachine does it."""
