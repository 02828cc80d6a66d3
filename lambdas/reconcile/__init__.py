"""Reconcile: close records of executions that have ended, and stop SageMaker jobs that belong to nobody."""
