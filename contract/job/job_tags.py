"""Tags of a stage's SageMaker jobs, by which a job is assigned to its record."""

STAGE_TAG = "fleetscore:stage"
EXECUTION_TAG = "fleetscore:execution-id"
JOB_TAG = "fleetscore:job-id"
