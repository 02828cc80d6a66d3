"""The records in DynamoDB, and the events that follow from their changes."""
