"""Calls of the roles of scoring jobs, on spot capacity or not, and of training jobs."""

from collections.abc import Iterator

from cli.doctor.roles.calls import EXECUTION, JOB, SAGEMAKER, USE_KEY, Call, CallMaker, leading_keys
from contract import layout, spot_layout, training_layout
from contract.table import records


def scoring_job_calls(make: CallMaker) -> Iterator[Call]:
    outputs = layout.job_outputs_prefix("predictions", "doctor", EXECUTION, JOB)
    joined = layout.job_outputs_prefix("predictions", "doctor", EXECUTION, JOB, "joined")
    quarantine = layout.job_outputs_prefix("quarantine", "doctor", EXECUTION, JOB)
    yield from _scoring_inputs(make)
    for target in (
        f"{make.results}/{outputs}part-0.parquet",
        f"{make.results}/{joined}part-0.parquet",
        f"{make.results}/{quarantine}part-0.parquet",
        f"{make.results}/{layout.ledger_prefix(EXECUTION, JOB)}segment",
    ):
        yield Call(("s3:PutObject", "s3:AbortMultipartUpload"), target)
    yield from _any_job(make, "ProcessingJobs")


def spot_job_calls(make: CallMaker) -> Iterator[Call]:
    yield from _scoring_inputs(make)
    yield make.listing(make.results, spot_layout.SPOT_PREFIX)
    checkpoint = f"{make.results}/{spot_layout.spot_checkpoints_prefix(EXECUTION, JOB, 1)}ledger/segment"
    yield Call(("s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload"), checkpoint)
    model = f"{make.results}/{spot_layout.spot_output_prefix(EXECUTION, JOB, 1)}doctor/output/model.tar.gz"
    yield Call(("s3:PutObject", "s3:AbortMultipartUpload"), model)
    yield from _any_job(make, "TrainingJobs")
    # A function copies what a job has committed, after it has compared it with the plan.
    outputs = layout.job_outputs_prefix("predictions", "doctor", EXECUTION, JOB)
    yield make.never("s3:PutObject", f"{make.results}/{outputs}part-0.parquet")
    yield make.never("s3:PutObject", f"{make.results}/{layout.ledger_prefix(EXECUTION, JOB)}segment")


def _scoring_inputs(make: CallMaker) -> Iterator[Call]:
    """Yield the calls that read what a scoring job needs, and those that may not change it."""
    job = f"{make.results}/{layout.job_prefix(EXECUTION, JOB)}"
    yield Call(("s3:ListBucket",), make.datasets)
    yield Call(("s3:ListBucket",), make.models)
    yield make.listing(make.results, layout.EXECUTIONS_PREFIX)
    yield Call(("s3:GetObject",), f"{make.datasets}/doctor/part-0.parquet")
    yield Call(("s3:GetObject",), f"{make.models}/{layout.artifact_key('doctor', '1')}")
    yield Call(("s3:GetObject",), f"{job}job.json")
    yield Call(("s3:GetObject",), f"{job}attempt-2.manifest")
    yield Call(("s3:GetObject",), f"{make.results}/{layout.snapshot_key(EXECUTION, 'doctor')}")
    yield Call(("s3:GetObject",), f"{make.results}/{layout.snapshot_manifest_key(EXECUTION, 'doctor')}")
    yield make.never("s3:PutObject", f"{make.models}/{layout.artifact_key('doctor', '1')}")
    yield make.never("s3:PutObject", f"{make.datasets}/doctor/part-0.parquet")
    yield make.never("s3:PutObject", f"{job}job.json")
    yield make.never("s3:PutObject", f"{make.results}/{layout.snapshot_key(EXECUTION, 'doctor')}")


def training_job_calls(make: CallMaker) -> Iterator[Call]:
    results = make.results
    yield Call(("s3:ListBucket",), make.datasets)
    yield make.listing(results, layout.EXECUTIONS_PREFIX)
    yield Call(("s3:GetObject",), f"{make.datasets}/doctor/part-0.parquet")
    yield Call(("s3:GetObject",), f"{results}/{training_layout.training_job_spec_key(EXECUTION, JOB)}")
    yield Call(("s3:GetObject",), f"{results}/{training_layout.training_manifest_key(EXECUTION, JOB, 'train')}")
    yield Call(("s3:GetObject",), f"{results}/{training_layout.job_code_key(EXECUTION, JOB)}")
    checkpoint = f"{results}/{training_layout.checkpoints_prefix(EXECUTION, JOB)}round-1"
    yield Call(("s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload"), checkpoint)
    output = f"{results}/{training_layout.training_output_prefix(EXECUTION, JOB)}doctor/output/model.tar.gz"
    yield Call(("s3:PutObject", "s3:AbortMultipartUpload"), output)
    yield from _any_job(make, "TrainingJobs")
    yield make.never("s3:PutObject", f"{make.models}/{layout.artifact_key('doctor', '1')}")
    yield make.never("s3:GetObject", f"{make.models}/{layout.artifact_key('doctor', '1')}")


def _any_job(make: CallMaker, kind: str) -> Iterator[Call]:
    group = f"/aws/sagemaker/{kind}"
    yield make.key("s3", *USE_KEY)
    yield make.key("sagemaker", "kms:DescribeKey", "kms:Encrypt")
    yield make.key("sagemaker", "kms:CreateGrant", **{"kms:GrantIsForAWSResource": True})
    pull = ("ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer")
    for repository in _repositories(make):
        yield Call(pull, repository)
    yield Call(("ecr:GetAuthorizationToken",))
    yield Call(("cloudwatch:PutMetricData",), "*", {"cloudwatch:namespace": group})
    log_group = make.stage.arn("logs", f"log-group:{group}")
    yield Call(("logs:CreateLogGroup", "logs:DescribeLogStreams"), log_group)
    yield Call(("logs:CreateLogStream", "logs:PutLogEvents"), f"{log_group}:log-stream:doctor/algo-1")
    if make.stage.network is not None:
        yield Call(
            (
                "ec2:CreateNetworkInterface",
                "ec2:CreateNetworkInterfacePermission",
                "ec2:DeleteNetworkInterface",
                "ec2:DeleteNetworkInterfacePermission",
                "ec2:DescribeDhcpOptions",
                "ec2:DescribeNetworkInterfaces",
                "ec2:DescribeSecurityGroups",
                "ec2:DescribeSubnets",
                "ec2:DescribeVpcs",
            )
        )
    # A job runs the code of models, so nothing that it could reach may change the stage.
    yield make.never("s3:DeleteObject", f"{make.results}/{layout.summary_key(EXECUTION)}")
    yield make.never("dynamodb:GetItem", make.table, **leading_keys(records.EXECUTION_PARTITIONS))
    yield make.never("iam:PassRole", make.stage.job_role_arn, **{"iam:PassedToService": SAGEMAKER})
    yield make.never("sts:AssumeRole", make.stage.training_role_arn)


def _repositories(make: CallMaker) -> list[str]:
    found = set()
    for uri in make.stage.images.values():
        registry, _, reference = uri.partition("/")
        account, region = registry.split(".")[0], (registry.split(".") + [""] * 4)[3]
        repository = reference.partition("@")[0].partition(":")[0]
        found.add(f"arn:{make.stage.partition}:ecr:{region}:{account}:repository/{repository}")
    return sorted(found)
