"""The records in the DynamoDB table: executions, jobs, attempts, models, recipes and uploads."""
