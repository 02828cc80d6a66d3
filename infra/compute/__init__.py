"""What SageMaker jobs run on: container images and IAM roles."""
