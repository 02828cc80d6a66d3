"""Step Functions as AWS runs it: an interpreter of our own on ministack's storage, paths and integrations."""
