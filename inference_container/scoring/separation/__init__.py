"""Separates model code from the process that supervises it: another user, closed file modes."""
