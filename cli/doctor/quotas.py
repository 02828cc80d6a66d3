"""Quotas: the account must allow the instances and functions that the settings need."""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from cli.doctor.findings import Check, Finding, Report
from cli.doctor.stage import DeployedStage
from contract.pool.pool_records import JobKind, quota_key, quota_name
from contract.pool.quotas import Quotas, instance_quotas

_SERVICE = "sagemaker"
_CONSOLE = "Request an increase in the console under Service Quotas > Amazon SageMaker"
_FEWEST_CALLS = 10
"""Concurrent function calls to reserve besides one per job, such as those of triggers."""


def quota_checks(stage: DeployedStage) -> Iterator[Check]:
    yield Check("quotas.instances", "quotas of SageMaker", partial(sagemaker_findings, stage))
    yield Check("quotas.functions", "concurrent functions", partial(function_findings, stage))


def sagemaker_findings(stage: DeployedStage) -> Iterator[Finding]:
    """Compare the quotas of processing and training jobs with the stage's settings."""
    quotas = read_quotas(stage.client("service-quotas"))
    known = Quotas(stage.instance_quotas, instance_quotas(quotas.items()))
    compute, jobs = stage.compute, stage.max_concurrency
    instance_type, per_job = str(compute.instance_type), int(compute.instance_count or 1)
    for kind, instances, is_needed in (
        (JobKind.PROCESSING, per_job * jobs, not compute.uses_spot),
        # A training job has one instance. A stage that never trains needs no quota.
        (JobKind.TRAINING, jobs, False),
        # Parts of one instance each score on spot capacity.
        (JobKind.SPOT_TRAINING, per_job * jobs if compute.uses_spot else jobs, compute.uses_spot),
    ):
        yield instance_finding(known, instance_type, kind, instances, is_needed=is_needed)
        for larger in compute.larger_instance_types or ():
            yield larger_type_finding(quotas, larger, kind.words, instances // jobs, is_needed=is_needed)
    yield from setting_findings(known)
    for word, instances in (("processing", per_job * jobs), ("training", jobs)):
        name = f"Number of instances across all {word} jobs"
        report = Report("quotas.total", name)
        yield limit_finding(report, quotas.get(name), instances, f"{jobs:,} concurrent jobs need {instances:,}")
    for word in ("processing", "training"):
        name = f"Longest run time for a {word} job"
        needed = int(compute.max_runtime_seconds or 0)
        report = Report("quotas.runtime", name)
        yield limit_finding(report, quotas.get(name), needed, f"compute.max_runtime_seconds is {needed:,}")
        name = f"Size of EBS volume for a {word} job instance"
        needed = int(compute.volume_size_gb or 0)
        report = Report("quotas.volume", name)
        yield limit_finding(report, quotas.get(name), needed, f"compute.volume_size_gb is {needed:,}")
        yield from larger_volume_findings(report, quotas.get(name), needed, int(compute.max_volume_size_gb or 0))


def instance_finding(quotas: Quotas, instance_type: str, kind: JobKind, instances: int, *, is_needed: bool) -> Finding:
    """Compare the quota of an instance type with the instances that the settings need.

    The stage keeps to `instance_quotas`, and SageMaker to the account's quota.
    """
    name = quota_name(kind, instance_type)
    report = Report("quotas.instances", name)
    value = quotas.account.get(quota_key(kind, instance_type))
    if value is None:
        return (report.error if is_needed else report.warning)(
            "the Region has no quota of this name: SageMaker does not offer the type for these jobs here",
            "Choose another compute.instance_type in cdk.json, or another Region.",
        )
    part = quotas.of(kind, instance_type)
    limit, source, request = value, "the quota", f'{_CONSOLE} > "{name}"'
    if part is not None and part < value:
        limit, source, request = part, "the setting instance_quotas", "Raise instance_quotas in cdk.json"
    settings = f"the settings ask for up to {instances:,} instances at once"
    if limit >= instances:
        return report.ok(f"{source} is {limit:,}; {settings}")
    remedy = f"{request}, or lower default_max_concurrency or compute.instance_count in cdk.json."
    if limit == 0:
        found = f"{source} is 0: no such job can start"
        remedy = f"{request}, or choose another compute.instance_type in cdk.json."
        return report.error(found, remedy) if is_needed else report.warning(found, f"If you want such jobs: {remedy}")
    return report.warning(f"{source} is {limit:,}; {settings}, so jobs wait for each other", remedy)


def setting_findings(quotas: Quotas) -> Iterator[Finding]:
    """Compare the setting `instance_quotas` with the account, which may have less than a stage's part of it."""
    for key, part in sorted(quotas.declared.items()):
        named, _, instance_type = key.rpartition(":")
        kinds = [JobKind(named)] if named else [kind for kind in JobKind if quotas.of(kind, instance_type) == part]
        found = {kind: quotas.account.get(quota_key(kind, instance_type), 0) for kind in kinds}
        # A type without a kind is for all of them, and many accounts have no quota of some.
        less = {kind: value for kind, value in found.items() if value < part and (value or not any(found.values()))}
        report = Report("quotas.settings", f"instance_quotas: {key}")
        if not less:
            yield report.ok(f"the stage may use {part:,}, which the account has")
        for kind, value in less.items():
            yield report.warning(
                f"the stage may use {part:,}, and the account's quota is {value:,}: SageMaker refuses further jobs, "
                "which then wait longer than for each other",
                f'{_CONSOLE} > "{quota_name(kind, instance_type)}", or lower instance_quotas in cdk.json.',
            )


def larger_type_finding(
    quotas: Mapping[str, float], instance_type: str, kind: str, instances: int, *, is_needed: bool
) -> Finding:
    """Compare the quota of a type that attempts get after they ran out of memory with one job's instances."""
    name = f"{instance_type} for {kind} usage"
    report = Report("quotas.instances", name)
    value = quotas.get(name)
    settings = f"an attempt after one that ran out of memory needs {instances:,} of them"
    if value is not None and value >= instances:
        return report.ok(f"the quota is {value:,.0f}; {settings}")
    level = report.error if is_needed else report.warning
    other = "or remove the type from compute.larger_instance_types in cdk.json."
    if value is None:
        return level(
            f"the Region has no quota of this name, and {settings}: SageMaker does not offer the type for these jobs",
            f"Choose another Region, {other}",
        )
    return level(f"the quota is {value:,.0f}, and {settings}", f'{_CONSOLE} > "{name}", {other}')


def larger_volume_findings(report: Report, value: float | None, volume: int, largest: int) -> Iterator[Finding]:
    """Compare a quota that suffices for volumes with the largest one that an attempt gets after a full one."""
    if value is not None and volume <= value < largest:
        yield report.warning(
            f"the quota is {value:,.0f}; compute.max_volume_size_gb is {largest:,}, which no attempt can get",
            f"{_CONSOLE}, or lower the setting in cdk.json.",
        )


def limit_finding(report: Report, value: float | None, needed: int, settings: str) -> Finding:
    """Compare a limit of the account with the number that the settings need."""
    if value is None:
        return report.warning(
            "Service Quotas does not list this quota, so it was not compared", "Look it up in the console."
        )
    if value >= needed:
        return report.ok(f"the quota is {value:,.0f}; {settings}")
    return report.error(f"the quota is {value:,.0f}; {settings}", f"{_CONSOLE}, or lower the setting in cdk.json.")


def read_quotas(client: Any) -> dict[str, float]:
    """Return SageMaker's quotas by name: the account's values, or else AWS's defaults."""
    quotas: dict[str, float] = {}
    for operation in ("list_aws_default_service_quotas", "list_service_quotas"):
        for page in client.get_paginator(operation).paginate(ServiceCode=_SERVICE, PaginationConfig={"PageSize": 100}):
            quotas |= {quota["QuotaName"]: quota["Value"] for quota in page["Quotas"] if "Value" in quota}
    return quotas


def function_findings(stage: DeployedStage) -> Iterator[Finding]:
    """Compare the functions that may run at once with the number of concurrent jobs."""
    limit = stage.client("lambda").get_account_settings()["AccountLimit"]["UnreservedConcurrentExecutions"]
    needed = stage.max_concurrency + _FEWEST_CALLS
    report = Report("quotas.functions", "concurrent functions of AWS Lambda")
    if limit >= needed:
        yield report.ok(f"{limit:,} may run at once; {stage.max_concurrency:,} concurrent jobs need about {needed:,}")
    else:
        yield report.warning(
            f"{limit:,} may run at once, and {stage.max_concurrency:,} concurrent jobs need about {needed:,}: calls "
            "are throttled and retried",
            'Request an increase under Service Quotas > AWS Lambda > "Concurrent executions", or lower '
            "default_max_concurrency in cdk.json.",
        )
