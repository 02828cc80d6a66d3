"""Step Functions tasks that run SageMaker Processing and Training jobs to their end (`.sync`).

The package needs only aws-cdk-lib and nothing else of this project. Values typed `int | str` or
`str` may be JSONPath (`$.…` or `$$.…`). Literal values are checked against the limits of the
service when a construct is created. The values behind paths and CDK tokens are unknown at that time
and are not checked.

Only JSONPath state machines are supported; with JSONata the constructs refuse to render.
"""

from infra.sagemaker_tasks.checks import InvalidJobError
from infra.sagemaker_tasks.processing_job import (
    Compression,
    InputMode,
    ProcessingInput,
    ProcessingOutput,
    SageMakerProcessingJob,
    UploadMode,
)
from infra.sagemaker_tasks.request_parts import DataType, Distribution, JobNetwork
from infra.sagemaker_tasks.training_job import (
    SageMakerTrainingJob,
    TrainingChannel,
    TrainingInputMode,
)

__all__ = [
    "Compression",
    "DataType",
    "Distribution",
    "InputMode",
    "InvalidJobError",
    "JobNetwork",
    "ProcessingInput",
    "ProcessingOutput",
    "SageMakerProcessingJob",
    "SageMakerTrainingJob",
    "TrainingChannel",
    "TrainingInputMode",
    "UploadMode",
]
