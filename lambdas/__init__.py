"""The steps of the workflow that are Lambda functions: one folder a step, named like the step.

In each folder `handler.py` parses, calls and returns; `action.py` does the step with what the deployment offers;
`logic.py` holds the decisions as pure functions. Only `job_table.py` knows DynamoDB, only `object_store.py` knows S3.
"""
