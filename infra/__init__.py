"""The CDK app's parts: settings, one module a stack, and the task construct for SageMaker Processing."""
