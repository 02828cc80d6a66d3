"""The calls that each role of a stage must be able to make, and calls that it must not.

The lists follow from what jobs, workflow and functions do, not from the policies, so that a policy that
lacks an action is found, and so is one that allows too much.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cli.doctor.stage import DeployedStage
from contract import layout
from contract.catalog.instance_types import has_local_storage
from contract.table import records

SAGEMAKER, STATES, LAMBDA, SCHEDULER = (
    f"{service}.amazonaws.com" for service in ("sagemaker", "states", "lambda", "scheduler")
)
_USE_KEY = ("kms:Decrypt", "kms:GenerateDataKey")
_MAP_LABELS = {"scoring": "ScoreModels", "training": "TrainModels"}
"""Label of each workflow's Map, in the keys of its results."""
_EXECUTION, _JOB = "doctor", "doctor"
"""Ids in the keys of objects, which need not exist."""


@dataclass(frozen=True)
class Call:
    """Actions on a resource, with the condition keys that AWS adds to such a request."""

    actions: tuple[str, ...]
    resource: str = "*"
    context: Mapping[str, Any] = field(default_factory=dict)
    is_allowed: bool = True


@dataclass(frozen=True)
class Role:
    """A role with the service that assumes it, and its calls."""

    name: str
    arn: str
    service: str
    calls: tuple[Call, ...]
    needs_source_account: bool = True
    """Whether only requests for this account's resources may assume it."""


def stage_roles(stage: DeployedStage) -> Iterator[Role]:
    """Return every role of the stage that a job, the workflow or a trigger uses."""
    calls = _Calls(stage)
    yield Role("scoring jobs", stage.job_role_arn, SAGEMAKER, tuple(calls.scoring_job()))
    yield Role("training jobs", stage.training_role_arn, SAGEMAKER, tuple(calls.training_job()))
    for kind, machine in stage.machines.items():
        yield Role(f"{kind} workflow", machine["roleArn"], STATES, tuple(calls.workflow(kind)))
    for name, function in sorted(stage.functions.items()):
        made = tuple(calls.function(name, function))
        yield Role(name, function["Role"], LAMBDA, made, needs_source_account=False)
    yield Role("schedules", stage.triggers["ScheduleRoleArn"], SCHEDULER, tuple(calls.schedule()))


class _Calls:
    """Forms the calls of each role with the stage's resources."""

    def __init__(self, stage: DeployedStage) -> None:
        self._stage = stage
        bucket = {kind: f"arn:{stage.partition}:s3:::{name}" for kind, name in stage.buckets.items()}
        self._datasets, self._models, self._results = bucket["datasets"], bucket["models"], bucket["results"]
        self._table = stage.arn("dynamodb", f"table/{stage.deployment.table_name}")

    # ---- jobs ----------------------------------------------------------------------------------------------------

    def scoring_job(self) -> Iterator[Call]:
        job = f"{self._results}/{layout.job_prefix(_EXECUTION, _JOB)}"
        outputs = layout.job_outputs_prefix("predictions", "doctor", _EXECUTION, _JOB)
        quarantine = layout.job_outputs_prefix("quarantine", "doctor", _EXECUTION, _JOB)
        yield Call(("s3:ListBucket",), self._datasets)
        yield Call(("s3:ListBucket",), self._models)
        yield self._listing(self._results, layout.EXECUTIONS_PREFIX)
        yield Call(("s3:GetObject",), f"{self._datasets}/doctor/part-0.parquet")
        yield Call(("s3:GetObject",), f"{self._models}/{layout.artifact_key('doctor', '1')}")
        yield Call(("s3:GetObject",), f"{job}job.json")
        yield Call(("s3:GetObject",), f"{job}attempt-1.manifest")
        for target in (
            f"{self._results}/{outputs}part-0.parquet",
            f"{self._results}/{quarantine}part-0.parquet",
            f"{self._results}/{layout.ledger_prefix(_EXECUTION, _JOB)}segment",
        ):
            yield Call(("s3:PutObject", "s3:AbortMultipartUpload"), target)
        yield from self._any_job("ProcessingJobs")
        yield self._never("s3:PutObject", f"{self._models}/{layout.artifact_key('doctor', '1')}")
        yield self._never("s3:PutObject", f"{self._datasets}/doctor/part-0.parquet")
        yield self._never("s3:PutObject", f"{job}job.json")

    def training_job(self) -> Iterator[Call]:
        results = self._results
        yield Call(("s3:ListBucket",), self._datasets)
        yield self._listing(results, layout.EXECUTIONS_PREFIX)
        yield Call(("s3:GetObject",), f"{self._datasets}/doctor/part-0.parquet")
        yield Call(("s3:GetObject",), f"{results}/{layout.training_job_spec_key(_EXECUTION, _JOB)}")
        yield Call(("s3:GetObject",), f"{results}/{layout.training_manifest_key(_EXECUTION, _JOB, 'train')}")
        yield Call(("s3:GetObject",), f"{results}/{layout.job_code_key(_EXECUTION, _JOB)}")
        checkpoint = f"{results}/{layout.checkpoints_prefix(_EXECUTION, _JOB)}round-1"
        yield Call(("s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload"), checkpoint)
        output = f"{results}/{layout.training_output_prefix(_EXECUTION, _JOB)}doctor/output/model.tar.gz"
        yield Call(("s3:PutObject", "s3:AbortMultipartUpload"), output)
        yield from self._any_job("TrainingJobs")
        yield self._never("s3:PutObject", f"{self._models}/{layout.artifact_key('doctor', '1')}")
        yield self._never("s3:GetObject", f"{self._models}/{layout.artifact_key('doctor', '1')}")

    def _any_job(self, kind: str) -> Iterator[Call]:
        group = f"/aws/sagemaker/{kind}"
        yield self._key("s3", *_USE_KEY)
        yield self._key("sagemaker", "kms:DescribeKey", "kms:Encrypt")
        yield self._key("sagemaker", "kms:CreateGrant", **{"kms:GrantIsForAWSResource": True})
        pull = ("ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer")
        for repository in self._repositories():
            yield Call(pull, repository)
        yield Call(("ecr:GetAuthorizationToken",))
        yield Call(("cloudwatch:PutMetricData",), "*", {"cloudwatch:namespace": group})
        log_group = self._stage.arn("logs", f"log-group:{group}")
        yield Call(("logs:CreateLogGroup", "logs:DescribeLogStreams"), log_group)
        yield Call(("logs:CreateLogStream", "logs:PutLogEvents"), f"{log_group}:log-stream:doctor/algo-1")
        if self._stage.network is not None:
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
        yield self._never("s3:DeleteObject", f"{self._results}/{layout.summary_key(_EXECUTION)}")
        yield self._never("dynamodb:GetItem", self._table, **_keys(records.EXECUTION_PARTITIONS))
        yield self._never("iam:PassRole", self._stage.job_role_arn, **{"iam:PassedToService": SAGEMAKER})
        yield self._never("sts:AssumeRole", self._stage.training_role_arn)

    def _repositories(self) -> list[str]:
        found = set()
        for uri in self._stage.images.values():
            registry, _, reference = uri.partition("/")
            account, region = registry.split(".")[0], (registry.split(".") + [""] * 4)[3]
            repository = reference.partition("@")[0].partition(":")[0]
            found.add(f"arn:{self._stage.partition}:ecr:{region}:{account}:repository/{repository}")
        return sorted(found)

    # ---- workflow ------------------------------------------------------------------------------------------------

    def workflow(self, kind: str) -> Iterator[Call]:
        stage = self._stage
        word = "Processing" if kind == "scoring" else "Training"
        machine = str(stage.machines[kind]["stateMachineArn"])
        name = machine.rpartition(":")[2]
        job = stage.arn("sagemaker", f"{word.lower()}-job/{stage.name}-doctor")
        create = f"sagemaker:Create{word}Job"
        right = self._creation()
        yield Call((create,), job, right)
        for wrong in (
            {"sagemaker:NetworkIsolation": False},
            {"sagemaker:OutputKmsKey": stage.arn("kms", "key/another")},
            {"sagemaker:InstanceTypes": ["ml.none.large"]},
        ):
            yield Call((create,), job, {**right, **wrong}, is_allowed=False)
        other = stage.arn("sagemaker", f"{word.lower()}-job/another-job")
        yield Call((create,), other, right, is_allowed=False)
        manage = (f"sagemaker:Describe{word}Job", f"sagemaker:Stop{word}Job", "sagemaker:AddTags", "sagemaker:ListTags")
        yield Call(manage, job)
        role = stage.job_role_arn if kind == "scoring" else stage.training_role_arn
        yield Call(("iam:PassRole",), role, {"iam:PassedToService": SAGEMAKER})
        yield self._never("iam:PassRole", role, **{"iam:PassedToService": LAMBDA})
        rules = [f"StepFunctionsGetEventsForSageMaker{word}JobsRule"]
        if kind == "scoring":
            rules.append("StepFunctionsGetEventsForStepFunctionsExecutionRule")
            yield Call(("states:StartExecution",), stage.deployment.training_state_machine_arn)
            training = stage.deployment.training_state_machine_arn.rpartition(":")[2]
            yield Call(
                ("states:DescribeExecution", "states:StopExecution"), stage.arn("states", f"execution:{training}:one")
            )
        for rule in rules:
            arn = stage.arn("events", f"rule/{rule}")
            yield Call(("events:PutTargets", "events:PutRule", "events:DescribeRule"), arn)
        for function in sorted(_called_functions(stage, kind)):
            yield Call(("lambda:InvokeFunction",), function)
        # The children of the Map.
        yield Call(("states:StartExecution",), machine)
        yield Call(("states:DescribeExecution", "states:StopExecution"), stage.arn("states", f"execution:{name}:one"))
        yield Call(("s3:GetObject",), f"{self._results}/{layout.jobs_key(_EXECUTION)}")
        results = f"{self._results}/{layout.map_runs_prefix(_MAP_LABELS[kind])}/doctor/manifest.json"
        yield Call(("s3:PutObject", "s3:GetObject", "s3:ListMultipartUploadParts", "s3:AbortMultipartUpload"), results)
        yield self._key("s3", *_USE_KEY)
        yield Call(_USE_KEY, stage.key_arn, {"kms:EncryptionContext:aws:states:stateMachineArn": machine})
        logs = {"kms:EncryptionContext:SourceArn": stage.arn("logs", "*")}
        yield Call(("kms:GenerateDataKey",), stage.key_arn, logs)
        yield Call(
            (
                "logs:CreateLogDelivery",
                "logs:DeleteLogDelivery",
                "logs:DescribeLogGroups",
                "logs:DescribeResourcePolicies",
                "logs:GetLogDelivery",
                "logs:ListLogDeliveries",
                "logs:PutResourcePolicy",
                "logs:UpdateLogDelivery",
            )
        )
        yield Call(("xray:PutTraceSegments", "xray:PutTelemetryRecords"))
        yield self._never("s3:GetObject", f"{self._datasets}/doctor/part-0.parquet")

    def _creation(self) -> dict[str, Any]:
        stage = self._stage
        instance_type = str(stage.compute.instance_type)
        context: dict[str, Any] = {
            "sagemaker:NetworkIsolation": True,
            "sagemaker:InstanceTypes": [instance_type],
            "sagemaker:OutputKmsKey": stage.key_arn,
        }
        if not has_local_storage(instance_type):
            context["sagemaker:VolumeKmsKey"] = stage.key_arn
        if stage.network is not None:
            context["sagemaker:VpcSubnets"] = list(stage.network.subnet_ids)
            context["sagemaker:VpcSecurityGroupIds"] = list(stage.network.security_group_ids)
        return context

    # ---- functions and triggers ----------------------------------------------------------------------------------

    def function(self, name: str, configuration: Mapping[str, Any]) -> Iterator[Call]:
        specific = getattr(self, f"_{name}", None)
        if specific is not None:
            yield from specific()
        group = configuration.get("LoggingConfig", {}).get("LogGroup") or f"/aws/lambda/{configuration['FunctionName']}"
        stream = self._stage.arn("logs", f"log-group:{group}:log-stream:doctor")
        yield Call(("logs:CreateLogStream", "logs:PutLogEvents"), stream)
        yield Call(("xray:PutTraceSegments", "xray:PutTelemetryRecords"))
        yield self._key("lambda", "kms:Decrypt")
        yield self._never("s3:DeleteObject", f"{self._datasets}/doctor/part-0.parquet")
        yield self._never("dynamodb:Scan", self._table)
        yield self._never("dynamodb:DeleteItem", self._table, **_keys(records.MODEL_PARTITIONS))
        if name != "register_model_version":
            yield self._never("dynamodb:PutItem", self._table, **_keys(records.MODEL_PARTITIONS))
            yield self._never("s3:PutObject", f"{self._models}/{layout.artifact_key('doctor', '1')}")

    def _plan_execution(self) -> Iterator[Call]:
        yield from self._reading_for_plans()
        yield self._execution_objects("s3:GetObject", "s3:PutObject")
        yield self._items(records.EXECUTION_PARTITIONS, "GetItem", "Query", "PutItem")
        yield from self._keys_for("dynamodb", "s3")

    def _check_request(self) -> Iterator[Call]:
        yield from self._reading_for_plans()
        yield Call(("s3:GetObject",), f"{self._models}/{layout.code_key('doctor', '0')}")
        for service in ("dynamodb", "s3"):
            yield self._key(service, "kms:Decrypt")
        yield self._never("s3:PutObject", f"{self._results}/{layout.summary_key(_EXECUTION)}")
        yield self._never("dynamodb:PutItem", self._table, **_keys(records.EXECUTION_PARTITIONS))

    def _record_attempt(self) -> Iterator[Call]:
        yield from self._listing_results()
        yield self._execution_objects("s3:GetObject", "s3:PutObject")
        yield self._items(records.EXECUTION_PARTITIONS, "GetItem", "PutItem")
        yield from self._keys_for("dynamodb", "s3")

    def _verify_output(self) -> Iterator[Call]:
        yield Call(("s3:ListBucket",), self._datasets)
        yield from self._listing_results()
        yield self._execution_objects("s3:GetObject")
        yield self._items(records.EXECUTION_PARTITIONS, "GetItem", "PutItem")
        yield from self._keys_for("dynamodb", "s3")
        outputs = layout.job_outputs_prefix("predictions", "doctor", _EXECUTION, _JOB)
        yield self._never("s3:GetObject", f"{self._results}/{outputs}part-0.parquet")

    def _classify_failure(self) -> Iterator[Call]:
        yield self._listing(self._results, layout.EXECUTIONS_PREFIX)
        yield self._items(records.EXECUTION_PARTITIONS, "GetItem", "Query", "PutItem")
        yield from self._keys_for("dynamodb")
        for word in ("Processing", "Training"):
            job = self._stage.arn("sagemaker", f"{word.lower()}-job/{self._stage.name}-doctor")
            yield Call((f"sagemaker:Describe{word}Job", f"sagemaker:Stop{word}Job"), job)
            other = self._stage.arn("sagemaker", f"{word.lower()}-job/another-job")
            yield self._never(f"sagemaker:Stop{word}Job", other)

    def _summarize_execution(self) -> Iterator[Call]:
        yield self._execution_objects("s3:PutObject")
        yield self._items(records.EXECUTION_PARTITIONS, "GetItem", "Query", "PutItem", "UpdateItem")
        for machine in self._stage.machines.values():
            arn = self._stage.arn("states", f"execution:{machine['name']}:one")
            yield Call(("states:DescribeExecution",), arn)
        # A task that waits for an execution belongs to a state machine of the account.
        waiting = self._stage.arn("states", "stateMachine:doctor")
        yield Call(("states:SendTaskSuccess", "states:SendTaskFailure"), waiting)
        for queue in self._queues("ClosingDeadLetters"):
            yield Call(("sqs:SendMessage",), queue)
        yield from self._keys_for("dynamodb", "s3", "sqs", "states")

    def _prepare_training(self) -> Iterator[Call]:
        yield self._items(records.EXECUTION_PARTITIONS, "GetItem", "Query", "PutItem")
        yield from self._catalog()
        yield from self._keys_for("dynamodb")

    def _plan_training(self) -> Iterator[Call]:
        yield Call(("s3:ListBucket",), self._datasets)
        yield self._listing(self._models, layout.CODE_PREFIX)
        yield Call(("s3:GetObject",), f"{self._datasets}/doctor/part-0.parquet")
        yield Call(("s3:GetObject",), f"{self._models}/{layout.code_key('doctor', '0')}")
        yield self._execution_objects("s3:GetObject", "s3:PutObject")
        yield self._items(records.EXECUTION_PARTITIONS, "GetItem", "Query", "PutItem")
        yield from self._catalog()
        yield from self._keys_for("dynamodb", "s3")

    def _register_model_version(self) -> Iterator[Call]:
        yield Call(("s3:ListBucket",), self._datasets)
        yield self._listing(self._results, layout.EXECUTIONS_PREFIX)
        yield self._execution_objects("s3:GetObject")
        artifact = f"{self._models}/{layout.artifact_key('doctor', '1')}"
        yield Call(("s3:PutObject", "s3:AbortMultipartUpload"), artifact)
        yield self._items(records.EXECUTION_PARTITIONS, "GetItem", "PutItem")
        yield self._items(records.MODEL_PARTITIONS, "GetItem", "BatchGetItem", "PutItem")
        yield from self._keys_for("dynamodb", "s3")

    def _announce_status(self) -> Iterator[Call]:
        stream = self._stage.storage["TableStreamArn"]
        yield Call(("dynamodb:DescribeStream", "dynamodb:GetRecords", "dynamodb:GetShardIterator"), stream)
        yield Call(("dynamodb:ListStreams",))
        bus = self._stage.arn("events", f"event-bus/fleetscore-{self._stage.name}")
        for kind in ("Execution", "Job"):
            detail_type = f"Fleetscore {kind} Status Change"
            yield Call(("events:PutEvents",), bus, {"events:source": "fleetscore", "events:detail-type": detail_type})
        for queue in self._queues("AnnouncementsDeadLetters"):
            yield Call(("sqs:SendMessage",), queue)
        for service in ("dynamodb", "sqs"):
            yield self._key(service, *_USE_KEY)

    def _start_on_schedule(self) -> Iterator[Call]:
        yield Call(("states:StartExecution",), self._stage.deployment.state_machine_arn)
        for queue in self._queues("SchedulesDeadLetters"):
            yield Call(("sqs:SendMessage",), queue)
        for service in ("sqs", "states"):
            yield self._key(service, *_USE_KEY)

    def _start_on_upload(self) -> Iterator[Call]:
        yield Call(("states:StartExecution",), self._stage.deployment.state_machine_arn)
        yield Call(("s3:ListBucket",), self._datasets)
        yield self._listing(self._results, layout.UPLOADS_PREFIX)
        yield Call(("s3:GetObject", "s3:GetObjectVersion"), f"{self._datasets}/doctor/_READY")
        yield Call(("s3:GetObject", "s3:PutObject"), f"{self._results}/{layout.upload_manifest_key('doctor', '1')}")
        for partition in (records.UPLOAD_PARTITIONS, records.UPLOADS_PARTITIONS):
            yield self._items(partition, "GetItem", "BatchGetItem", "Query", "PutItem", "ConditionCheckItem")
        for queue in self._queues("UploadsQueue"):
            yield Call(
                (
                    "sqs:ReceiveMessage",
                    "sqs:DeleteMessage",
                    "sqs:GetQueueAttributes",
                    "sqs:ChangeMessageVisibility",
                    "sqs:SendMessage",
                ),
                queue,
            )
        yield from self._keys_for("dynamodb", "s3", "sqs", "states")
        yield self._never("s3:GetObject", f"{self._datasets}/doctor/part-0.parquet")

    def schedule(self) -> Iterator[Call]:
        yield Call(("lambda:InvokeFunction",), self._stage.triggers["ScheduleTargetArn"])
        for queue in self._queues("SchedulesDeadLetters"):
            yield Call(("sqs:SendMessage",), queue)
        for service in ("scheduler", "sqs"):
            yield self._key(service, *_USE_KEY)
        yield self._never("states:StartExecution", self._stage.deployment.state_machine_arn)

    # ---- parts ---------------------------------------------------------------------------------------------------

    def _reading_for_plans(self) -> Iterator[Call]:
        yield Call(("s3:ListBucket",), self._datasets)
        yield Call(("s3:ListBucket",), self._models)
        yield self._listing(self._results, layout.UPLOADS_PREFIX)
        yield Call(("s3:GetObject",), f"{self._datasets}/doctor/part-0.parquet")
        yield Call(("s3:GetObject",), f"{self._models}/{layout.artifact_key('doctor', '1')}")
        yield Call(("s3:GetObject",), f"{self._results}/{layout.upload_manifest_key('doctor', '1')}")
        yield from self._catalog()

    def _catalog(self) -> Iterator[Call]:
        yield self._items(records.MODEL_PARTITIONS, "BatchGetItem")
        yield Call(("dynamodb:Query",), f"{self._table}/index/{records.INDEX_NAME}")

    def _listing_results(self) -> Iterator[Call]:
        for prefix in (layout.EXECUTIONS_PREFIX, layout.PREDICTIONS_PREFIX, layout.QUARANTINE_PREFIX):
            yield self._listing(self._results, prefix)

    def _execution_objects(self, *actions: str) -> Call:
        return Call(actions, f"{self._results}/{layout.summary_key(_EXECUTION)}")

    def _items(self, partition: str, *operations: str) -> Call:
        return Call(tuple(f"dynamodb:{name}" for name in operations), self._table, _keys(partition))

    def _keys_for(self, *services: str) -> Iterator[Call]:
        for service in services:
            yield self._key(service, *_USE_KEY, "kms:DescribeKey")

    def _key(self, service: str, *actions: str, **context: Any) -> Call:
        name = f"{service}.{self._stage.region}.{self._stage.url_suffix}"
        return Call(actions, self._stage.key_arn, {"kms:ViaService": name, **context})

    @staticmethod
    def _listing(bucket: str, prefix: str) -> Call:
        return Call(("s3:ListBucket",), bucket, {"s3:prefix": f"{prefix}doctor"})

    @staticmethod
    def _never(action: str, resource: str, **context: Any) -> Call:
        return Call((action,), resource, context, is_allowed=False)

    def _queues(self, beginning: str) -> Iterable[str]:
        """Return the ARNs of the queues whose logical ids begin with a name."""
        for resource in self._stage.of_type("AWS::SQS::Queue"):
            if resource.logical_id.startswith(beginning):
                yield self._stage.arn("sqs", resource.physical_id.rpartition("/")[2])


def _keys(partition: str) -> dict[str, Any]:
    return {"dynamodb:LeadingKeys": [f"{partition}doctor"]}


def _called_functions(stage: DeployedStage, kind: str) -> Sequence[str]:
    """Return the ARNs of the functions that a state machine's definition names."""
    definition = str(stage.machines[kind]["definition"])
    return [str(found["FunctionArn"]) for found in stage.functions.values() if str(found["FunctionArn"]) in definition]
