"""Records in the DynamoDB table, and the events that are published when they change."""
