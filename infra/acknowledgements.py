"""The cdk-nag findings that are accepted, each with its reason. Any other finding fails synthesis.

cdk-nag needs one acknowledgement per wildcard, spelled as in the template.
"""

import json
from typing import cast

from aws_cdk import Acknowledgment, ArnFormat, Fn, Stack, Validations
from aws_cdk import aws_iam as iam
from aws_cdk import aws_stepfunctions as sfn
from constructs import Construct, IConstruct

from contract import layout, spot_layout, training_layout
from contract.triggers.uploads import MARKER_NAME
from infra.compute.job_roles import OUTPUT_PATTERNS, SCORING_LOG_GROUP, TRAINING_LOG_GROUP, log_streams
from infra.dead_letters import DeadLetters
from infra.definitions.scoring_definition import MAP_LABEL
from infra.definitions.training_definition import MAP_LABEL as TRAINING_MAP_LABEL
from infra.functions.workflow_permissions import latest_arn, outputs_arns
from infra.settings import AppSettings
from infra.stack_outputs import Storage, any_state_machine_arn, child_executions_arns, executions_arns, jobs_arns
from infra.stacks.compute import ComputeStack
from infra.stacks.storage import StorageStack
from infra.stacks.triggers import TriggersStack
from infra.stacks.workflow import WorkflowStack

_WILDCARD = "AwsSolutions-IAM5[Resource::{}]"

_RUNTIME = "The setting lambda_runtime chooses the newest Python version that the tests run on."
_XRAY = "AWS defines no resources for X-Ray's PutTraceSegments, PutTelemetryRecords and sampling rules."
_LOG_STREAMS = "SageMaker chooses the log group, and names the log streams after the jobs."
_JOBS_ANYWHERE = (
    "AWS defines no resources for ecr:GetAuthorizationToken, cloudwatch:PutMetricData and EC2's network interface "
    "actions. A condition limits PutMetricData to one namespace, and EC2's actions are allowed only with a VPC."
)
_ATTEMPT_NAMES = "Every attempt has a new job name; all begin with the stage's prefix."
_FIRST_OBJECTS = "Planning reads the columns of the first object of any dataset of its stage."
_KEYS_UNKNOWN = "Each execution creates keys below this prefix, so they cannot be named in advance."


def acknowledge(
    *,
    settings: AppSettings,
    storage: StorageStack,
    compute: ComputeStack,
    workflow: WorkflowStack,
) -> None:
    """Accept the findings of these stacks, each on the narrowest construct that has it."""
    names = Storage.of(settings.stage)
    executions = names.objects_arn(names.results_bucket, f"{layout.EXECUTIONS_PREFIX}*")
    uploads = names.objects_arn(names.results_bucket, f"{layout.UPLOADS_PREFIX}*")

    _accept(
        storage.access_logs,
        {"AwsSolutions-S1": "The bucket receives the access logs; logging access to it would loop."},
    )

    scoring_inputs = {
        names.objects_arn(names.datasets_bucket, "*"): "A job may score any dataset of its stage.",
        names.objects_arn(
            names.models_bucket, f"*/{layout.ARTIFACT_NAME}"
        ): "A job may score with any model of its stage.",
        names.objects_arn(names.results_bucket, f"{layout.job_prefix('*', '*')}job.json"): _KEYS_UNKNOWN,
        names.objects_arn(names.results_bucket, f"{layout.job_prefix('*', '*')}*.manifest"): _KEYS_UNKNOWN,
        names.objects_arn(names.results_bucket, layout.snapshot_key("*", "*")): _KEYS_UNKNOWN,
        names.objects_arn(names.results_bucket, layout.snapshot_manifest_key("*", "*")): _KEYS_UNKNOWN,
    }
    accept_wildcards(
        compute.job_role,
        {
            **scoring_inputs,
            names.objects_arn(names.results_bucket, f"{layout.ledger_prefix('*', '*')}*"): _KEYS_UNKNOWN,
            **{names.objects_arn(names.results_bucket, pattern): _KEYS_UNKNOWN for pattern in OUTPUT_PATTERNS},
            log_streams(SCORING_LOG_GROUP): _LOG_STREAMS,
            "*": _JOBS_ANYWHERE,
        },
    )
    checkpoints = names.objects_arn(names.results_bucket, f"{spot_layout.spot_checkpoints_prefix('*', '*', '*')}*")
    accept_wildcards(
        compute.spot_role,
        {
            **scoring_inputs,
            checkpoints: _KEYS_UNKNOWN,
            names.objects_arn(names.results_bucket, f"{spot_layout.spot_output_prefix('*', '*', '*')}*"): _KEYS_UNKNOWN,
            log_streams(TRAINING_LOG_GROUP): _LOG_STREAMS,
            "*": _JOBS_ANYWHERE,
        },
    )
    accept_wildcards(
        compute.training_role,
        {
            names.objects_arn(names.datasets_bucket, "*"): "A job may train on any dataset of its stage.",
            names.objects_arn(names.results_bucket, training_layout.training_job_spec_key("*", "*")): _KEYS_UNKNOWN,
            names.objects_arn(names.results_bucket, f"{layout.job_prefix('*', '*')}*.manifest"): _KEYS_UNKNOWN,
            names.objects_arn(names.results_bucket, training_layout.job_code_key("*", "*")): _KEYS_UNKNOWN,
            names.objects_arn(names.results_bucket, f"{training_layout.checkpoints_prefix('*', '*')}*"): _KEYS_UNKNOWN,
            names.objects_arn(
                names.results_bucket, f"{training_layout.training_output_prefix('*', '*')}*"
            ): _KEYS_UNKNOWN,
            log_streams(TRAINING_LOG_GROUP): _LOG_STREAMS,
            "*": _JOBS_ANYWHERE,
        },
    )

    for name, function in workflow.functions.items():
        role = workflow.function_roles[name]
        if name != "reconcile":
            accept_wildcards(role, {"*": _XRAY})
        if name != "prepare_training":
            accept_wildcards(role, {executions: _KEYS_UNKNOWN})
        _accept(
            function,
            {"AwsSolutions-L1": _RUNTIME},
        )
    ledgers = names.objects_arn(names.results_bucket, f"{layout.ledger_prefix('*', '*')}*")
    for name in ("record_attempt", "verify_output", "classify_failure", "reconcile"):
        written = [*outputs_arns(names), checkpoints, *([] if name == "record_attempt" else [ledgers])]
        accept_wildcards(workflow.function_roles[name], dict.fromkeys(written, _KEYS_UNKNOWN))
    processing_jobs, training_jobs = jobs_arns(settings.stage)
    scoring_executions, _ = executions_arns(settings.stage)
    for name in ("plan_execution", "check_request"):
        accept_wildcards(
            workflow.function_roles[name],
            {
                **dict.fromkeys(
                    (processing_jobs, training_jobs), "Each attempt of a resumed execution has its own job name."
                ),
                scoring_executions: "Any execution may be resumed.",
            },
        )
    accept_wildcards(
        workflow.function_roles["plan_execution"],
        {
            names.objects_arn(
                names.models_bucket, f"*/{layout.ARTIFACT_NAME}"
            ): "Models are registered after the deployment, so their artifacts have no known keys.",
            names.objects_arn(names.datasets_bucket, "*"): _FIRST_OBJECTS,
            uploads: _KEYS_UNKNOWN,
        },
    )

    accept_wildcards(
        workflow.function_roles["plan_training"],
        {
            names.objects_arn(names.datasets_bucket, "*"): _FIRST_OBJECTS,
            names.objects_arn(
                names.models_bucket, training_layout.code_key("*", "*")
            ): "Scripts are uploaded after the deployment.",
        },
    )
    accept_wildcards(
        workflow.function_roles["check_request"],
        {
            names.objects_arn(
                names.models_bucket, f"*/{layout.ARTIFACT_NAME}"
            ): "Models are registered after the deployment, so their artifacts have no known keys.",
            names.objects_arn(
                names.models_bucket, training_layout.code_key("*", "*")
            ): "Scripts are uploaded after the deployment.",
            names.objects_arn(names.datasets_bucket, "*"): _FIRST_OBJECTS,
            uploads: _KEYS_UNKNOWN,
        },
    )
    accept_wildcards(
        workflow.function_roles["register_model_version"],
        {names.objects_arn(names.models_bucket, f"*/{layout.ARTIFACT_NAME}"): "Every version has its own key."},
    )

    for name in ("summarize_execution", "reconcile"):
        accept_wildcards(
            workflow.function_roles[name],
            {
                latest_arn(names): "Models are registered after the deployment, so their manifests have no known keys.",
                any_state_machine_arn(): "A task token, not an ARN, identifies a waiting task.",
            },
        )
    for name in ("classify_failure", "reconcile"):
        accept_wildcards(workflow.function_roles[name], dict.fromkeys(jobs_arns(settings.stage), _ATTEMPT_NAMES))
    accept_wildcards(
        workflow.function_roles["reconcile"],
        {
            **dict.fromkeys(executions_arns(settings.stage), "Callers of the state machines name the executions."),
            **dict.fromkeys(child_executions_arns(settings.stage), "Step Functions names the children of a Map."),
            "*": f"{_XRAY} AWS defines none for listing SageMaker jobs either.",
        },
    )

    status_events = workflow.status_events
    _accept_dead_letters(status_events.dead_letters)
    _accept(status_events.announcer.function, {"AwsSolutions-L1": _RUNTIME})
    accept_wildcards(status_events.announcer.role, {"*": f"{_XRAY} AWS defines none for dynamodb:ListStreams either."})

    _accept_dead_letters(workflow.reconciliation.dead_letters)

    _accept_state_machine(
        workflow,
        workflow.state_machine,
        workflow.state_machine_role,
        MAP_LABEL,
        {
            workflow.scoring_definition.run_processing_job.job_arns: _ATTEMPT_NAMES,
            workflow.scoring_definition.run_spot_job.job_arns: _ATTEMPT_NAMES,
            f"{_executions_of(workflow, workflow.training_state_machine)}*": (
                "The scoring workflow describes and stops training executions, whose names derive from its own."
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
    accept_wildcards(
        role,
        {
            "*": f"AWS defines no resources for CloudWatch's log delivery actions. {_XRAY}",
            names.objects_arn(names.results_bucket, layout.jobs_key("*")): _KEYS_UNKNOWN,
            names.objects_arn(names.results_bucket, f"{layout.map_runs_prefix(label)}/*"): _KEYS_UNKNOWN,
            **{
                f"{function.function_arn}:*": f"Versions of {name}, granted by aws-cdk-lib together with it."
                for name, function in workflow.functions.items()
            },
            **reasons,
        },
    )
    own_executions = _executions_of(workflow, machine)
    accept_wildcards(
        cast("Construct", machine.node.find_child("DistributedMapPolicy")),
        {
            f"{own_executions}:*": "The Map describes and stops executions of its own state machine, which AWS names.",
            f"{own_executions}/{label}:*": "The Map redrives its own child executions, which AWS names.",
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
    """Accept the findings of the triggers stack."""
    schedules = triggers.schedules
    _accept_dead_letters(schedules.dead_letters)
    accept_wildcards(schedules.starter.role, {"*": _XRAY})
    _accept(schedules.starter.function, {"AwsSolutions-L1": _RUNTIME})
    _accept_uploads(triggers, stage)


def _accept_uploads(triggers: TriggersStack, stage: str) -> None:
    trigger, names = triggers.uploads, Storage.of(stage)
    uploads = names.objects_arn(names.results_bucket, f"{layout.UPLOADS_PREFIX}*")
    markers = names.objects_arn(names.datasets_bucket, f"*/{MARKER_NAME}")
    reasons = {"*": _XRAY, uploads: _KEYS_UNKNOWN, markers: "A marker may be in any folder of any dataset."}
    accept_wildcards(trigger.starter.role, reasons)
    _accept(trigger.starter.function, {"AwsSolutions-L1": _RUNTIME})
    _accept_dead_letters(trigger.dead_letters)


def _accept_dead_letters(dead_letters: DeadLetters) -> None:
    _accept(dead_letters.queue, {"AwsSolutions-SQS3": "It is a dead-letter queue itself."})


def _accept(construct: IConstruct, reasons: dict[str, str]) -> None:
    for rule, reason in reasons.items():
        Validations.of(construct).acknowledge(Acknowledgment(id=rule, reason=reason))


def accept_wildcards(construct: Construct, reasons: dict[str, str]) -> None:
    stack = Stack.of(construct)
    _accept(construct, {_WILDCARD.format(_as_in_finding(stack.resolve(arn))): why for arn, why in reasons.items()})


def _as_in_finding(value: object) -> str:
    """Spell an ARN as cdk-nag does: a reference is its logical id in angle brackets."""
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
