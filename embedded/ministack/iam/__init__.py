"""Corrections to ministack's access control: signatures, identities, policies and conditions."""
