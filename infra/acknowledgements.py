"""Every finding of cdk-nag that we accept, with the reason: a finding that is not listed here fails synthesis.

cdk-nag wants one acknowledgement for each wildcard, spelled as it reads in the template.
"""

import json
from typing import cast

from aws_cdk import Acknowledgment, ArnFormat, Fn, Stack, Validations
from aws_cdk import aws_iam as iam
from aws_cdk import aws_stepfunctions as sfn
from constructs import Construct, IConstruct

from contract import layout
from contract.triggers.uploads import MARKER_NAME
from infra.compute.job_roles import SCORING_LOG_GROUP, TRAINING_LOG_GROUP, log_streams
from infra.definitions.scoring_definition import MAP_LABEL
from infra.definitions.training_definition import MAP_LABEL as TRAINING_MAP_LABEL
from infra.settings import Settings
from infra.stacks.compute import ComputeStack
from infra.stacks.storage import Storage, StorageStack
from infra.stacks.triggers import TriggersStack
from infra.stacks.workflow import WorkflowStack

_WILDCARD = "AwsSolutions-IAM5[Resource::{}]"

_RUNTIME = "The runtime is the newest Python that the tests run on; it is a setting, and moves when they do."
_XRAY = "X-Ray's PutTraceSegments and PutTelemetryRecords, and its sampling rules, have no resources to name."
_LOG_STREAMS = "SageMaker names the log streams after the jobs, in a log group of its own."
_JOBS_ANYWHERE = (
    "ecr:GetAuthorizationToken and cloudwatch:PutMetricData (bound to one namespace by a condition) have no resources "
    "to name, nor have EC2's network interface actions, which are there with a VPC only."
)
_ATTEMPT_NAMES = "Every attempt has a name of its own; the stage's prefix bounds them."
_FIRST_OBJECTS = "The plan reads the columns of the first object of any dataset of its stage."
_KEYS_UNKNOWN = "Keys below this prefix are made by each execution, so they cannot be named in advance."


def acknowledge(
    *,
    settings: Settings,
    storage: StorageStack,
    compute: ComputeStack,
    workflow: WorkflowStack,
) -> None:
    """Record what is accepted, on the narrowest construct that has the finding."""
    names = Storage.of(settings.stage)
    executions = names.objects_arn(names.results_bucket, f"{layout.EXECUTIONS_PREFIX}*")
    uploads = names.objects_arn(names.results_bucket, f"{layout.UPLOADS_PREFIX}*")

    _accept(storage.access_logs, {"AwsSolutions-S1": "It takes the access logs of the others; its own would loop."})

    _accept_wildcards(
        compute.job_role,
        {
            names.objects_arn(names.datasets_bucket, "*"): "A job may score any dataset of its stage.",
            names.objects_arn(
                names.models_bucket, f"*/{layout.ARTIFACT_NAME}"
            ): "A job may score with any model of its stage.",
            names.objects_arn(names.results_bucket, f"{layout.job_prefix('*', '*')}job.json"): _KEYS_UNKNOWN,
            names.objects_arn(names.results_bucket, f"{layout.job_prefix('*', '*')}*.manifest"): _KEYS_UNKNOWN,
            names.objects_arn(names.results_bucket, f"{layout.ledger_prefix('*', '*')}*"): _KEYS_UNKNOWN,
            names.objects_arn(names.results_bucket, f"{layout.PREDICTIONS_PREFIX}*"): _KEYS_UNKNOWN,
            names.objects_arn(names.results_bucket, f"{layout.QUARANTINE_PREFIX}*"): _KEYS_UNKNOWN,
            log_streams(SCORING_LOG_GROUP): _LOG_STREAMS,
            "*": _JOBS_ANYWHERE,
        },
    )
    _accept_wildcards(
        compute.training_role,
        {
            names.objects_arn(names.datasets_bucket, "*"): "A job may train on any dataset of its stage.",
            names.objects_arn(names.results_bucket, layout.training_job_spec_key("*", "*")): _KEYS_UNKNOWN,
            names.objects_arn(names.results_bucket, f"{layout.job_prefix('*', '*')}*.manifest"): _KEYS_UNKNOWN,
            names.objects_arn(names.results_bucket, layout.job_code_key("*", "*")): _KEYS_UNKNOWN,
            names.objects_arn(names.results_bucket, f"{layout.checkpoints_prefix('*', '*')}*"): _KEYS_UNKNOWN,
            names.objects_arn(names.results_bucket, f"{layout.training_output_prefix('*', '*')}*"): _KEYS_UNKNOWN,
            log_streams(TRAINING_LOG_GROUP): _LOG_STREAMS,
            "*": _JOBS_ANYWHERE,
        },
    )

    for name, function in workflow.functions.items():
        role = workflow.function_roles[name]
        waiting = " A waiting task is named by its token." if name == "summarize_execution" else ""
        _accept_wildcards(role, {"*": _XRAY + waiting})
        if name not in ("classify_failure", "prepare_training"):
            _accept_wildcards(role, {executions: _KEYS_UNKNOWN})
        _accept(
            function,
            {"AwsSolutions-L1": _RUNTIME},
        )
    _accept_wildcards(
        workflow.function_roles["plan_execution"],
        {
            names.objects_arn(
                names.models_bucket, f"*/{layout.ARTIFACT_NAME}"
            ): "The catalog decides which models exist.",
            names.objects_arn(names.datasets_bucket, "*"): _FIRST_OBJECTS,
            uploads: _KEYS_UNKNOWN,
        },
    )

    _accept_wildcards(
        workflow.function_roles["plan_training"],
        {
            names.objects_arn(names.datasets_bucket, "*"): _FIRST_OBJECTS,
            names.objects_arn(names.models_bucket, layout.code_key("*", "*")): "Recipes decide which scripts exist.",
        },
    )
    _accept_wildcards(
        workflow.function_roles["register_model_version"],
        {names.objects_arn(names.models_bucket, f"*/{layout.ARTIFACT_NAME}"): "Every version has a key of its own."},
    )

    announcements = workflow.announcements
    _accept(announcements.dead_letters, {"AwsSolutions-SQS3": "It is a dead-letter queue itself."})
    _accept(announcements.announcer.function, {"AwsSolutions-L1": _RUNTIME})
    _accept_wildcards(
        announcements.announcer.role, {"*": f"{_XRAY} dynamodb:ListStreams has no resources to name either."}
    )

    _accept(workflow.closing.dead_letters, {"AwsSolutions-SQS3": "It is a dead-letter queue itself."})

    _accept_state_machine(
        workflow,
        workflow.state_machine,
        workflow.state_machine_role,
        MAP_LABEL,
        {
            workflow.definition.run_processing_job.job_arns: _ATTEMPT_NAMES,
            f"{_executions_of(workflow, workflow.training_state_machine)}*": (
                "The training executions that it describes and stops are named after its own."
            ),
        },
    )
    _accept_state_machine(
        workflow,
        workflow.training_state_machine,
        workflow.training_state_machine_role,
        TRAINING_MAP_LABEL,
        {workflow.training_definition.run_training_job.job_arns: _ATTEMPT_NAMES},
    )


def _accept_state_machine(
    workflow: WorkflowStack, machine: sfn.StateMachine, role: iam.Role, label: str, reasons: dict[str, str]
) -> None:
    names = Storage.of(workflow.stage)
    _accept_wildcards(
        role,
        {
            "*": f"CloudWatch's log delivery actions have no resources to name. {_XRAY}",
            names.objects_arn(names.results_bucket, layout.jobs_key("*")): _KEYS_UNKNOWN,
            **{
                f"{function.function_arn}:*": f"Versions of {name}; aws-cdk-lib grants them along with the function."
                for name, function in workflow.functions.items()
            },
            **reasons,
        },
    )
    own_executions = _executions_of(workflow, machine)
    _accept_wildcards(
        cast("Construct", machine.node.find_child("DistributedMapPolicy")),
        {
            f"{own_executions}:*": "The Map describes and stops its state machine's own executions, named by AWS.",
            f"{own_executions}/{label}:*": "The Map redrives its own child executions, named by AWS.",
        },
    )


def _executions_of(workflow: WorkflowStack, machine: sfn.StateMachine) -> str:
    return workflow.format_arn(
        service="states",
        resource="execution",
        resource_name=Fn.select(6, Fn.split(":", machine.state_machine_arn)),
        arn_format=ArnFormat.COLON_RESOURCE_NAME,
    )


def acknowledge_triggers(triggers: TriggersStack, stage: str) -> None:
    """Like `acknowledge`, for what starts executions."""
    schedules = triggers.schedules
    _accept(schedules.dead_letters, {"AwsSolutions-SQS3": "It is a dead-letter queue itself."})
    _accept_wildcards(schedules.starter.role, {"*": _XRAY})
    _accept(schedules.starter.function, {"AwsSolutions-L1": _RUNTIME})
    _accept_uploads(triggers, stage)


def _accept_uploads(triggers: TriggersStack, stage: str) -> None:
    trigger, names = triggers.uploads, Storage.of(stage)
    uploads = names.objects_arn(names.results_bucket, f"{layout.UPLOADS_PREFIX}*")
    markers = names.objects_arn(names.datasets_bucket, f"*/{MARKER_NAME}")
    reasons = {"*": _XRAY, uploads: _KEYS_UNKNOWN, markers: "A marker may lie in any folder of any dataset."}
    _accept_wildcards(trigger.starter.role, reasons)
    _accept(trigger.starter.function, {"AwsSolutions-L1": _RUNTIME})
    _accept(trigger.dead_letters, {"AwsSolutions-SQS3": "It is a dead-letter queue itself."})


def _accept(construct: IConstruct, reasons: dict[str, str]) -> None:
    for rule, reason in reasons.items():
        Validations.of(construct).acknowledge(Acknowledgment(id=rule, reason=reason))


def _accept_wildcards(construct: Construct, reasons: dict[str, str]) -> None:
    stack = Stack.of(construct)
    _accept(construct, {_WILDCARD.format(_as_in_finding(stack.resolve(arn))): why for arn, why in reasons.items()})


def _as_in_finding(value: object) -> str:
    """An ARN as cdk-nag spells it: text stays, a reference becomes its logical id in angle brackets."""
    match value:
        case str():
            return value
        case {"Fn::Join": [str() as delimiter, list() as parts]}:
            return delimiter.join(map(_as_in_finding, parts))
        case {"Ref": str() as name}:
            return f"<{name}>"
        case {"Fn::GetAtt": [str() as name, str() as attribute]}:
            return f"<{name}.{attribute}>"
        case {"Fn::ImportValue": name}:
            return _as_in_finding(name)
    return json.dumps(value, separators=(",", ":"))
