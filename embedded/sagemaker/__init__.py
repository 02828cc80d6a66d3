"""SageMaker in the embedded AWS: jobs run as processes on this machine, behind the service's own API."""

from embedded.sagemaker.service import SageMakerService, resource_arn

__all__ = ["SageMakerService", "resource_arn"]
