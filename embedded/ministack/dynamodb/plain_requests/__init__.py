"""A fast path for DynamoDB's most frequent requests. ministack answers all others."""
