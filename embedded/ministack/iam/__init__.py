"""Signatures, identities, policies and their conditions: what ministack decides about access, completed."""
