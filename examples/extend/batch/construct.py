"""What AWS Batch needs to score jobs of a stage on Fargate: queue, job definition, roles and log group."""

from collections.abc import Sequence

from aws_cdk import Aws, RemovalPolicy
from aws_cdk import aws_batch as batch
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs
from constructs import Construct

from contract import environment, layout
from examples.extend.batch.entry import PERMANENT_EXIT_CODE
from examples.extend.batch.submit import resource_name
from infra.acknowledgements import accept_wildcards
from infra.compute.job_roles import OUTPUT_PATTERNS
from infra.permissions import allow, allow_data_keys, allow_listing, allow_listing_below
from infra.stack_outputs import Storage

_KEYS_UNKNOWN = "Each execution creates keys below this prefix, so they cannot be named in advance."
_ANY_JOB = "One role for all jobs, as a Processing job has: any model of the stage may score any dataset."


class BatchScoring(Construct):
    """The scoring container as array jobs of AWS Batch on Fargate.

    Args:
        stage: a deployed stage, whose buckets and key the jobs use.
        image_uri: the image of this folder's Dockerfile in ECR.
        repository_arn: its repository.
        subnet_ids: private subnets with endpoints for S3, ECR and CloudWatch Logs, and no way to the internet.
        security_group_ids: groups that let HTTPS out to these endpoints, and nothing in.
        vcpus: virtual CPUs of a child, as Fargate offers them: 1, 2, 4, 8 or 16.
        memory_mib: memory of a child, which must fit its virtual CPUs.
        disk_gib: 21 to 200; the shard, the models and the outputs of a child must fit.
        max_vcpus: most virtual CPUs of all children together.
        attempts: 1 to 10 for each child. A retry scores only what the ledger lacks.
        timeout_seconds: time after which an attempt is stopped, and not retried.
        spot: whether children run on Fargate Spot, which may interrupt them.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,  # noqa: A002 - the name that every construct uses
        *,
        stage: str,
        image_uri: str,
        repository_arn: str,
        subnet_ids: Sequence[str],
        security_group_ids: Sequence[str],
        vcpus: int = 4,
        memory_mib: int = 16_384,
        disk_gib: int = 100,
        max_vcpus: int = 256,
        attempts: int = 3,
        timeout_seconds: int = 6 * 3600,
        spot: bool = False,
    ) -> None:
        super().__init__(scope, id)
        name, storage = resource_name(stage), Storage.of(stage)
        # The stage's key serves log groups whose names begin with `fleetscore-<stage>-`.
        self.log_group = logs.CfnLogGroup(
            self, "Log", log_group_name=name, kms_key_id=storage.key_arn, retention_in_days=90
        )
        self.log_group.apply_removal_policy(RemovalPolicy.RETAIN)
        self.job_role = self._job_role(storage)
        self.execution_role = self._execution_role(name, repository_arn)
        compute = batch.CfnComputeEnvironment(
            self,
            "Compute",
            type="MANAGED",
            compute_resources=batch.CfnComputeEnvironment.ComputeResourcesProperty(
                type="FARGATE_SPOT" if spot else "FARGATE",
                maxv_cpus=max_vcpus,
                subnets=list(subnet_ids),
                security_group_ids=list(security_group_ids),
            ),
            replace_compute_environment=False,
        )
        self.queue = batch.CfnJobQueue(
            self,
            "Queue",
            job_queue_name=name,
            priority=1,
            compute_environment_order=[
                batch.CfnJobQueue.ComputeEnvironmentOrderProperty(
                    compute_environment=compute.attr_compute_environment_arn, order=1
                )
            ],
        )
        definition = batch.CfnJobDefinition
        self.job_definition = definition(
            self,
            "Job",
            type="container",
            job_definition_name=name,
            platform_capabilities=["FARGATE"],
            propagate_tags=True,
            timeout=definition.TimeoutProperty(attempt_duration_seconds=timeout_seconds),
            retry_strategy=definition.RetryStrategyProperty(
                attempts=attempts,
                evaluate_on_exit=[
                    definition.EvaluateOnExitProperty(action="EXIT", on_exit_code=str(PERMANENT_EXIT_CODE)),
                    definition.EvaluateOnExitProperty(action="RETRY", on_reason="*"),
                ],
            ),
            container_properties=definition.ContainerPropertiesProperty(
                image=image_uri,
                job_role_arn=self.job_role.role_arn,
                execution_role_arn=self.execution_role.role_arn,
                resource_requirements=[
                    definition.ResourceRequirementProperty(type="VCPU", value=str(vcpus)),
                    definition.ResourceRequirementProperty(type="MEMORY", value=str(memory_mib)),
                ],
                ephemeral_storage=definition.EphemeralStorageProperty(size_in_gib=disk_gib),
                network_configuration=definition.NetworkConfigurationProperty(assign_public_ip="DISABLED"),
                runtime_platform=definition.RuntimePlatformProperty(
                    cpu_architecture="X86_64", operating_system_family="LINUX"
                ),
                environment=[
                    definition.EnvironmentProperty(name=environment.MODELS_BUCKET, value=storage.models_bucket)
                ],
                log_configuration=definition.LogConfigurationProperty(
                    log_driver="awslogs",
                    options={
                        "awslogs-group": name,
                        "awslogs-region": Aws.REGION,
                        "awslogs-stream-prefix": "scoring",
                    },
                ),
            ),
        )
        self.job_definition.add_resource_dependency(self.log_group)

    def _job_role(self, storage: Storage) -> iam.Role:
        """Create the role of the children: what a Processing job's role may, and reading ledgers."""
        role = self._role("JobRole", "Reads a planned job's inputs, and writes its outputs and ledger")
        results, job_folder = storage.results_bucket, layout.job_prefix("*", "*")
        reads = {
            storage.objects_arn(storage.datasets_bucket, "*"): _ANY_JOB,
            storage.objects_arn(storage.models_bucket, f"*/{layout.ARTIFACT_NAME}"): _ANY_JOB,
            storage.objects_arn(results, f"{job_folder}job.json"): _KEYS_UNKNOWN,
            storage.objects_arn(results, layout.snapshot_key("*", "*")): _KEYS_UNKNOWN,
        }
        ledgers = {storage.objects_arn(results, f"{layout.ledger_prefix('*', '*')}*"): _KEYS_UNKNOWN}
        writes = {storage.objects_arn(results, pattern): _KEYS_UNKNOWN for pattern in OUTPUT_PATTERNS}
        for statement in (
            # Without it, S3 reports a missing object as access denied.
            allow_listing(storage.datasets_bucket, storage.models_bucket),
            allow_listing_below(results, layout.EXECUTIONS_PREFIX),
            allow(["s3:GetObject"], *reads, *ledgers),
            allow(["s3:PutObject", "s3:AbortMultipartUpload"], *writes, *ledgers),
            allow_data_keys(storage.key_arn, "s3"),
        ):
            role.add_to_policy(statement)
        accept_wildcards(role, {**reads, **ledgers, **writes})
        return role

    def _execution_role(self, log_group: str, repository_arn: str) -> iam.Role:
        """Create the role with which Fargate starts a container: the image, and the lines of its log."""
        role = self._role("ExecutionRole", "Pulls the image and writes the log of scoring jobs")
        here = f"arn:{Aws.PARTITION}:logs:{Aws.REGION}:{Aws.ACCOUNT_ID}"
        streams = f"{here}:log-group:{log_group}:log-stream:*"
        for statement in (
            allow(
                ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"], repository_arn
            ),
            # AWS defines no resource for this action.
            allow(["ecr:GetAuthorizationToken"], "*"),
            allow(["logs:CreateLogStream", "logs:PutLogEvents"], streams),
        ):
            role.add_to_policy(statement)
        accept_wildcards(
            role,
            {
                "*": "AWS defines no resource for ecr:GetAuthorizationToken.",
                streams: "Batch names the log streams after its tasks.",
            },
        )
        return role

    def _role(self, name: str, description: str) -> iam.Role:
        return iam.Role(
            self,
            name,
            description=description,
            assumed_by=iam.ServicePrincipal(
                "ecs-tasks.amazonaws.com", conditions={"StringEquals": {"aws:SourceAccount": Aws.ACCOUNT_ID}}
            ),
        )
