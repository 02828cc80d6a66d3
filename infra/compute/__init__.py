"""The container images and IAM roles of SageMaker jobs."""
