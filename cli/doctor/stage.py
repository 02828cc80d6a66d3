"""The stage as it is deployed: resources, settings and permissions to be checked."""

import contextlib
import json
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from cli.failures import CommandError, ExitStatus
from cli.stage.connection import Connection
from cli.stage.deployment import Deployment, find_deployment, stack_outputs
from contract import codec, environment
from contract.catalog.models import Compute

_STACKS = ("storage", "compute", "workflow", "triggers")


@dataclass(frozen=True)
class Network:
    """Subnets and security groups of the stage's jobs."""

    subnet_ids: tuple[str, ...]
    security_group_ids: tuple[str, ...]


@dataclass(frozen=True)
class StageResource:
    """A resource of one of the stage's stacks."""

    type: str
    logical_id: str
    physical_id: str


@dataclass(frozen=True)
class DeployedStage:
    """A stage, read with the caller's permissions when a check first needs a part of it."""

    connection: Connection
    deployment: Deployment
    storage: Mapping[str, str]
    """Outputs of the storage stack."""
    compute_outputs: Mapping[str, str]
    triggers: Mapping[str, str]
    resources: tuple[StageResource, ...]
    functions: Mapping[str, Mapping[str, Any]]
    """Configuration of each function, by its name in the code, such as `plan_execution`."""
    machines: Mapping[str, Mapping[str, Any]]
    """Description of each state machine that exists: `scoring` and `training`."""
    missing: tuple[StageResource, ...]
    """Functions of the stacks that do not exist any more."""
    _clients: dict[str, Any] = field(default_factory=dict, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @property
    def name(self) -> str:
        return self.deployment.stage

    @property
    def key_arn(self) -> str:
        return self.storage["KeyArn"]

    @property
    def partition(self) -> str:
        return self.key_arn.split(":")[1]

    @property
    def region(self) -> str:
        return self.key_arn.split(":")[3]

    @property
    def account_id(self) -> str:
        return self.key_arn.split(":")[4]

    @property
    def url_suffix(self) -> str:
        return "amazonaws.com.cn" if self.partition == "aws-cn" else "amazonaws.com"

    @property
    def job_role_arn(self) -> str:
        return self.compute_outputs["JobRoleArn"]

    @property
    def training_role_arn(self) -> str:
        return self.compute_outputs["TrainingRoleArn"]

    @property
    def spot_role_arn(self) -> str:
        return self.compute_outputs["SpotRoleArn"]

    @property
    def buckets(self) -> dict[str, str]:
        """The buckets that hold the stage's data, by kind."""
        return {
            "datasets": self.deployment.datasets_bucket,
            "models": self.deployment.models_bucket,
            "results": self.deployment.results_bucket,
        }

    @cached_property
    def images(self) -> dict[str, str]:
        """URI of the image of each variant."""
        return dict(json.loads(self.variable("plan_execution", environment.IMAGE_URIS)))

    @cached_property
    def compute(self) -> Compute:
        """The defaults of jobs, with every field set."""
        return codec.from_json(Compute, json.loads(self.variable("plan_execution", environment.DEFAULT_COMPUTE)))

    @cached_property
    def instance_quotas(self) -> dict[str, int]:
        """The setting of this name."""
        return dict(json.loads(self.variable("record_attempt", environment.INSTANCE_QUOTAS)))

    @property
    def max_concurrency(self) -> int:
        return int(self.variable("plan_execution", environment.DEFAULT_MAX_CONCURRENCY))

    @cached_property
    def network(self) -> Network | None:
        """The VPC settings of the jobs; None if they use none."""
        definition = self.machines.get("scoring", {}).get("definition", "{}")
        found = next(_vpc_configs(json.loads(definition)), None)
        if found is None:
            return None
        return Network(tuple(found.get("Subnets", ())), tuple(found.get("SecurityGroupIds", ())))

    def variable(self, function: str, name: str) -> str:
        """Return an environment variable of a function.

        Raises:
            CommandError: when the function does not have it.
        """
        variables = self.functions.get(function, {}).get("Environment", {})
        if name not in variables.get("Variables", {}):
            reason = (variables.get("Error") or {}).get("Message") or "it is not set"
            raise CommandError(
                f"The variable {name} of the function {function} cannot be read: {reason}. Allow kms:Decrypt on the "
                "stage's key through Lambda (docs/operate/policies/doctor.json), or deploy this release.",
                ExitStatus.AWS,
            )
        return str(variables["Variables"][name])

    def of_type(self, kind: str) -> Iterator[StageResource]:
        return (resource for resource in self.resources if resource.type == kind)

    def client(self, service: str) -> Any:
        """Return a client, which all checks share.

        Threads may use a client, but not create one at the same time.
        """
        with self._lock:
            if service not in self._clients:
                self._clients[service] = self.connection.client(service)
            return self._clients[service]

    def arn(self, service: str, resource: str) -> str:
        return f"arn:{self.partition}:{service}:{self.region}:{self.account_id}:{resource}"


def read_stage(connection: Connection, stage: str) -> DeployedStage:
    """Return the stage as it is deployed.

    Raises:
        CommandError: when a stack does not exist.
    """
    deployment = find_deployment(connection, stage)
    cloudformation = connection.client("cloudformation")
    storage = stack_outputs(cloudformation, stage, "storage", ("KeyArn", "TableStreamArn"))
    compute = stack_outputs(cloudformation, stage, "compute", ("JobRoleArn", "TrainingRoleArn", "SpotRoleArn"))
    triggers = stack_outputs(
        cloudformation, stage, "triggers", ("ScheduleGroup", "ScheduleRoleArn", "ScheduleTargetArn")
    )
    resources = tuple(
        StageResource(found["ResourceType"], found["LogicalResourceId"], found.get("PhysicalResourceId", ""))
        for part in _STACKS
        for page in cloudformation.get_paginator("list_stack_resources").paginate(
            StackName=f"fleetscore-{stage}-{part}"
        )
        for found in page["StackResourceSummaries"]
    )
    functions, missing = {}, []
    client = connection.client("lambda")
    for resource in resources:
        if resource.type == "AWS::Lambda::Function":
            try:
                found = client.get_function_configuration(FunctionName=resource.physical_id)
            except client.exceptions.ResourceNotFoundException:
                missing.append(resource)
            else:
                functions[str(found["Handler"]).split(".")[1]] = found
    step_functions = connection.client("stepfunctions")
    machines = {}
    arns = {"scoring": deployment.state_machine_arn, "training": deployment.training_state_machine_arn}
    for kind, arn in arns.items():
        with contextlib.suppress(step_functions.exceptions.StateMachineDoesNotExist):
            machines[kind] = step_functions.describe_state_machine(stateMachineArn=arn)
    return DeployedStage(
        connection=connection,
        deployment=deployment,
        storage=storage,
        compute_outputs=compute,
        triggers=triggers,
        resources=resources,
        functions=functions,
        machines=machines,
        missing=tuple(missing),
    )


def _vpc_configs(value: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(value, dict):
        if isinstance(found := value.get("VpcConfig"), dict):
            yield found
        for inner in value.values():
            yield from _vpc_configs(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _vpc_configs(inner)
