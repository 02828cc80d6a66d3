"""Calls of the roles of functions and schedules."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from cli.doctor.roles.calls import EXECUTION, JOB, USE_KEY, Call, CallMaker, leading_keys
from contract import layout, spot_layout, training_layout
from contract.pool.pool_records import POOL_PARTITION
from contract.table import records, upload_records
from contract.table.estimate_items import ESTIMATE_PARTITIONS
from contract.table.events import DEADLINE_DETAIL_TYPE, EXECUTION_DETAIL_TYPE, JOB_DETAIL_TYPE
from contract.table.latest_predictions import LATEST_PARTITIONS
from contract.table.price_items import PRICES_PARTITION


def function_calls(make: CallMaker, name: str, configuration: Mapping[str, Any]) -> Iterator[Call]:
    if name in _OWN_CALLS:
        yield from _OWN_CALLS[name](make)
    group = configuration.get("LoggingConfig", {}).get("LogGroup") or f"/aws/lambda/{configuration['FunctionName']}"
    stream = make.stage.arn("logs", f"log-group:{group}:log-stream:doctor")
    yield Call(("logs:CreateLogStream", "logs:PutLogEvents"), stream)
    yield Call(("xray:PutTraceSegments", "xray:PutTelemetryRecords"))
    yield make.key("lambda", "kms:Decrypt")
    yield make.never("s3:DeleteObject", f"{make.datasets}/doctor/part-0.parquet")
    yield make.never("dynamodb:Scan", make.table)
    yield make.never("dynamodb:DeleteItem", make.table, **leading_keys(records.MODEL_PARTITIONS))
    yield make.never("dynamodb:PutItem", make.table, **leading_keys(records.FLEET_PARTITIONS))
    if name != "register_model_version":
        yield make.never("dynamodb:PutItem", make.table, **leading_keys(records.MODEL_PARTITIONS))
        yield make.never("s3:PutObject", f"{make.models}/{layout.artifact_key('doctor', '1')}")


def _plan_execution(make: CallMaker) -> Iterator[Call]:
    yield from _reading_for_plans(make)
    yield from _resuming(make)
    yield make.execution_objects("s3:GetObject", "s3:PutObject")
    yield make.items(records.EXECUTION_PARTITIONS, "GetItem", "Query", "PutItem")
    yield from _reading_quotas(make)
    yield from make.keys_for("dynamodb", "s3")


def _check_request(make: CallMaker) -> Iterator[Call]:
    yield from _reading_for_plans(make)
    yield from _resuming(make)
    yield make.execution_objects("s3:GetObject")
    yield make.items(records.EXECUTION_PARTITIONS, "GetItem", "Query")
    yield make.items(POOL_PARTITION, "GetItem")
    yield _service_quotas()
    yield Call(("s3:GetObject",), f"{make.models}/{training_layout.code_key('doctor', '0')}")
    for service in ("dynamodb", "s3"):
        yield make.key(service, "kms:Decrypt")
    yield make.never("s3:PutObject", f"{make.results}/{layout.summary_key(EXECUTION)}")
    yield make.never("dynamodb:PutItem", make.table, **leading_keys(records.EXECUTION_PARTITIONS))


def _record_attempt(make: CallMaker) -> Iterator[Call]:
    yield from _listing_results(make)
    yield make.execution_objects("s3:GetObject", "s3:PutObject")
    yield from _copying_outputs(make)
    yield make.items(records.EXECUTION_PARTITIONS, "GetItem", "BatchGetItem", "Query", "PutItem", "UpdateItem")
    yield make.items_of_both(records.EXECUTION_PARTITIONS, POOL_PARTITION, "BatchGetItem")
    yield Call(("dynamodb:Query",), f"{make.table}/index/{records.INDEX_NAME}")
    yield make.items(records.EXECUTION_PARTITIONS, "ConditionCheckItem")
    yield _releasing(make, "UpdateItem")
    yield from make.keys_for("dynamodb", "s3")


def _verify_output(make: CallMaker) -> Iterator[Call]:
    yield Call(("s3:ListBucket",), make.datasets)
    yield from _listing_results(make)
    yield make.execution_objects("s3:GetObject")
    yield make.items(records.EXECUTION_PARTITIONS, "GetItem", "BatchGetItem", "PutItem", "UpdateItem")
    yield make.items_of_both(records.EXECUTION_PARTITIONS, POOL_PARTITION, "BatchGetItem")
    yield from _copying_outputs(make)
    yield _releasing(make)
    yield from make.keys_for("dynamodb", "s3")


def _classify_failure(make: CallMaker) -> Iterator[Call]:
    yield from _listing_results(make)
    yield make.execution_objects("s3:GetObject")
    yield from _copying_outputs(make)
    yield make.items(records.EXECUTION_PARTITIONS, "GetItem", "Query", "PutItem", "UpdateItem")
    yield _releasing(make, "GetItem")
    yield from make.keys_for("dynamodb", "s3")
    for word in ("Processing", "Training"):
        job = make.stage.arn("sagemaker", f"{word.lower()}-job/{make.stage.name}-doctor")
        yield Call((f"sagemaker:Describe{word}Job", f"sagemaker:Stop{word}Job"), job)
        other = make.stage.arn("sagemaker", f"{word.lower()}-job/another-job")
        yield make.never(f"sagemaker:Stop{word}Job", other)


def _summarize_execution(make: CallMaker) -> Iterator[Call]:
    yield from _closing(make)
    yield from make.keys_for("dynamodb", "s3", "states")


def _reconcile(make: CallMaker) -> Iterator[Call]:
    yield from _closing(make)
    yield from _copying_outputs(make)
    yield make.items(records.EXECUTION_PARTITIONS, "BatchGetItem")
    yield make.items(records.RECONCILIATION_PARTITION, "GetItem", "PutItem")
    yield Call(("dynamodb:Query",), f"{make.table}/index/{records.INDEX_NAME}")
    for machine in make.stage.machines.values():
        for path in ("", "/RunJobs"):
            arn = make.stage.arn("states", f"execution:{machine['name']}{path}:one")
            yield Call(("states:DescribeExecution",), arn)
    yield Call(("sagemaker:ListProcessingJobs", "sagemaker:ListTrainingJobs"))
    for word in ("Processing", "Training"):
        job = make.stage.arn("sagemaker", f"{word.lower()}-job/{make.stage.name}-doctor")
        yield Call((f"sagemaker:Describe{word}Job", "sagemaker:ListTags", f"sagemaker:Stop{word}Job"), job)
        other = make.stage.arn("sagemaker", f"{word.lower()}-job/another-job")
        yield make.never(f"sagemaker:Stop{word}Job", other)
    yield _releasing(make, "GetItem", "Query")
    yield _service_quotas()
    for queue in make.queues("ClosingDeadLetters"):
        yield Call(("sqs:SendMessage",), queue)
    yield from make.keys_for("dynamodb", "s3", "sqs", "states")


def _closing(make: CallMaker) -> Iterator[Call]:
    """Yield the calls that close an execution."""
    yield from _listing_results(make)
    yield make.execution_objects("s3:GetObject", "s3:PutObject")
    yield make.items(records.EXECUTION_PARTITIONS, "GetItem", "Query", "PutItem", "UpdateItem")
    yield make.items(LATEST_PARTITIONS, "BatchGetItem", "PutItem")
    yield make.items(ESTIMATE_PARTITIONS, "BatchGetItem", "PutItem")
    yield make.listing(make.results, layout.LATEST_PREFIX)
    yield Call(("s3:GetObject", "s3:PutObject"), f"{make.results}/{layout.latest_key('doctor', 'doctor')}")
    # A task that waits for an execution belongs to a state machine of the account.
    waiting = make.stage.arn("states", "stateMachine:doctor")
    yield Call(("states:SendTaskSuccess", "states:SendTaskFailure"), waiting)


def _prepare_training(make: CallMaker) -> Iterator[Call]:
    yield make.items(records.EXECUTION_PARTITIONS, "GetItem", "Query", "PutItem")
    yield from _catalog(make)
    yield from make.keys_for("dynamodb")


def _plan_training(make: CallMaker) -> Iterator[Call]:
    yield Call(("s3:ListBucket",), make.datasets)
    yield make.listing(make.models, training_layout.CODE_PREFIX)
    yield Call(("s3:GetObject",), f"{make.datasets}/doctor/part-0.parquet")
    yield Call(("s3:GetObject",), f"{make.models}/{training_layout.code_key('doctor', '0')}")
    yield make.execution_objects("s3:GetObject", "s3:PutObject")
    yield make.items(records.EXECUTION_PARTITIONS, "GetItem", "Query", "PutItem")
    yield from _catalog(make)
    yield from _reading_quotas(make)
    yield from make.keys_for("dynamodb", "s3")


def _register_model_version(make: CallMaker) -> Iterator[Call]:
    yield Call(("s3:ListBucket",), make.datasets)
    yield make.listing(make.results, layout.EXECUTIONS_PREFIX)
    yield make.execution_objects("s3:GetObject")
    artifact = f"{make.models}/{layout.artifact_key('doctor', '1')}"
    yield Call(("s3:PutObject", "s3:AbortMultipartUpload"), artifact)
    yield make.items(records.EXECUTION_PARTITIONS, "GetItem", "BatchGetItem", "PutItem")
    yield make.items(records.MODEL_PARTITIONS, "GetItem", "BatchGetItem", "PutItem")
    yield _releasing(make)
    yield from make.keys_for("dynamodb", "s3")


def _announce_status(make: CallMaker) -> Iterator[Call]:
    stream = make.stage.storage["TableStreamArn"]
    yield Call(("dynamodb:DescribeStream", "dynamodb:GetRecords", "dynamodb:GetShardIterator"), stream)
    yield Call(("dynamodb:ListStreams",))
    bus = make.stage.arn("events", f"event-bus/fleetscore-{make.stage.name}")
    for detail_type in (EXECUTION_DETAIL_TYPE, JOB_DETAIL_TYPE, DEADLINE_DETAIL_TYPE):
        yield Call(("events:PutEvents",), bus, {"events:source": "fleetscore", "events:detail-type": detail_type})
    for queue in make.queues("AnnouncementsDeadLetters"):
        yield Call(("sqs:SendMessage",), queue)
    for service in ("dynamodb", "sqs"):
        yield make.key(service, *USE_KEY)


def _start_on_schedule(make: CallMaker) -> Iterator[Call]:
    yield Call(("states:StartExecution",), make.stage.deployment.state_machine_arn)
    for queue in make.queues("SchedulesDeadLetters"):
        yield Call(("sqs:SendMessage",), queue)
    for service in ("sqs", "states"):
        yield make.key(service, *USE_KEY)


def _start_on_upload(make: CallMaker) -> Iterator[Call]:
    yield Call(("states:StartExecution",), make.stage.deployment.state_machine_arn)
    yield Call(("s3:ListBucket",), make.datasets)
    yield make.listing(make.results, layout.UPLOADS_PREFIX)
    yield Call(("s3:GetObjectVersion",), f"{make.datasets}/doctor/_READY")
    yield Call(("s3:GetObject", "s3:PutObject"), f"{make.results}/{layout.upload_manifest_key('doctor', '1')}")
    for partition in (upload_records.UPLOAD_PARTITIONS, upload_records.UPLOADS_PARTITIONS):
        yield make.items(partition, "GetItem", "BatchGetItem", "Query", "PutItem", "ConditionCheckItem")
    for queue in make.queues("UploadsQueue"):
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
    yield from make.keys_for("dynamodb", "s3", "sqs", "states")
    yield make.never("s3:GetObject", f"{make.datasets}/doctor/part-0.parquet")


def schedule_calls(make: CallMaker) -> Iterator[Call]:
    yield Call(("lambda:InvokeFunction",), make.stage.triggers["ScheduleTargetArn"])
    for queue in make.queues("SchedulesDeadLetters"):
        yield Call(("sqs:SendMessage",), queue)
    for service in ("scheduler", "sqs"):
        yield make.key(service, *USE_KEY)
    yield make.never("states:StartExecution", make.stage.deployment.state_machine_arn)


def _reading_quotas(make: CallMaker) -> Iterator[Call]:
    """Yield the calls that compare a plan with the account's quotas."""
    yield make.items(POOL_PARTITION, "GetItem", "PutItem")
    yield _service_quotas()


def _service_quotas() -> Call:
    return Call(("servicequotas:ListAWSDefaultServiceQuotas", "servicequotas:ListServiceQuotas"))


def _releasing(make: CallMaker, *more: str) -> Call:
    """Return the calls that release the instances of an attempt."""
    return make.items(POOL_PARTITION, "BatchGetItem", "DeleteItem", "PutItem", *more)


def _reading_for_plans(make: CallMaker) -> Iterator[Call]:
    yield Call(("s3:ListBucket",), make.datasets)
    yield Call(("s3:ListBucket",), make.models)
    yield make.listing(make.results, layout.UPLOADS_PREFIX)
    yield Call(("s3:GetObject",), f"{make.datasets}/doctor/part-0.parquet")
    yield Call(("s3:GetObject",), f"{make.models}/{layout.artifact_key('doctor', '1')}")
    yield Call(("s3:GetObject",), f"{make.results}/{layout.upload_manifest_key('doctor', '1')}")
    yield from _catalog(make)
    yield make.items(records.FLEET_PARTITIONS, "BatchGetItem")
    yield make.items(PRICES_PARTITION, "GetItem")
    yield make.items(ESTIMATE_PARTITIONS, "BatchGetItem", "Query")


def _catalog(make: CallMaker) -> Iterator[Call]:
    yield make.items(records.MODEL_PARTITIONS, "BatchGetItem", "Query")
    yield Call(("dynamodb:Query",), f"{make.table}/index/{records.INDEX_NAME}")


def _listing_results(make: CallMaker) -> Iterator[Call]:
    for prefix in (layout.EXECUTIONS_PREFIX, *layout.OUTPUT_PREFIXES):
        yield make.listing(make.results, prefix)


def _copying_outputs(make: CallMaker) -> Iterator[Call]:
    """Yield the calls that copy what jobs on spot capacity have committed, and read checksums."""
    yield make.listing(make.results, spot_layout.SPOT_PREFIX)
    checkpoint = f"{make.results}/{spot_layout.spot_checkpoints_prefix(EXECUTION, JOB, 1)}predictions/part-0.parquet"
    yield Call(("s3:GetObject",), checkpoint)
    yield make.never("s3:PutObject", checkpoint)
    for output in _outputs(make):
        yield Call(("s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload"), output)
    yield Call(("s3:PutObject",), f"{make.results}/{layout.ledger_prefix(EXECUTION, JOB)}segment")


def _outputs(make: CallMaker) -> Iterator[str]:
    """Yield the ARN of an output of each kind and layout."""
    for kind, output_layout in layout.OUTPUT_AREAS:
        yield f"{make.results}/{layout.job_outputs_prefix(kind, 'doctor', EXECUTION, JOB, output_layout)}part-0.parquet"


def _resuming(make: CallMaker) -> Iterator[Call]:
    """Yield the calls that read what earlier executions have scored."""
    for prefix in (layout.EXECUTIONS_PREFIX, *layout.OUTPUT_PREFIXES):
        yield make.listing(make.results, prefix)
    yield make.items(LATEST_PARTITIONS, "Query")
    for word in ("Processing", "Training"):
        job = make.stage.arn("sagemaker", f"{word.lower()}-job/{make.stage.name}-doctor")
        yield Call((f"sagemaker:Describe{word}Job",), job)
    yield Call(("states:DescribeExecution",), make.stage.arn("states", f"execution:fleetscore-{make.stage.name}:one"))


_OWN_CALLS: Mapping[str, Callable[[CallMaker], Iterator[Call]]] = {
    "plan_execution": _plan_execution,
    "check_request": _check_request,
    "record_attempt": _record_attempt,
    "verify_output": _verify_output,
    "classify_failure": _classify_failure,
    "summarize_execution": _summarize_execution,
    "reconcile": _reconcile,
    "prepare_training": _prepare_training,
    "plan_training": _plan_training,
    "register_model_version": _register_model_version,
    "announce_status": _announce_status,
    "start_on_schedule": _start_on_schedule,
    "start_on_upload": _start_on_upload,
}
"""Calls of each function besides those that all functions make."""
