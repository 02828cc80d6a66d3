"""The short way of DynamoDB's most frequent requests, besides ministack's way for all others."""
