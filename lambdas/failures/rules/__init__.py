"""The rules of the decision table, by what reports the failure."""
