"""The parts of the CDK app: settings, stacks, and the task constructs for SageMaker jobs."""
