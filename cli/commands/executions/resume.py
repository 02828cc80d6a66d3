"""`fleetscore resume` and `retry`: start an execution that continues another one."""

import json
from collections.abc import Sequence
from typing import Any

import rich_click as click

from cli.command_line.click_classes import Command, argument
from cli.command_line.invocation import Invocation
from cli.command_line.options import plan_options, start_options, words
from cli.commands.executions import request_check
from cli.commands.executions.executions import execution_argument, start
from cli.commands.executions.refused_uploads import resume_uploads
from cli.commands.executions.request_text import read_request, with_names
from cli.commands.planning.plan import confirm_plan, show_plan
from cli.failures import CommandError, ExitStatus
from cli.stage.diagnosis.job_choice import items_of
from cli.stage.executions.execution_snapshot import Snapshot
from cli.stage.executions.executions import Executions, check_request
from cli.stage.executions.resumable import Resumable
from contract.json_text import JsonError, parse_json
from contract.status import ExecutionKind
from contract.workflow.scoring_request import parse_request

_overrides = click.option(
    "--input",
    "request",
    default="{}",
    metavar="JSON|@file",
    help="Other values than those of the old request, such as instance_type. Default: {}.",
)


@click.command(
    "resume",
    cls=Command,
    examples="""
    fleetscore resume nightly-2026-03-01 --wait
    fleetscore resume nightly-2026-03-01 --plan
    fleetscore resume nightly --input '{"instance_type": "ml.m5.4xlarge"}'
    fleetscore resume nightly-2026-03-01 --models churn,upsell
    fleetscore resume --uploads orders
    """,
)
@argument("execution", metavar="[EXECUTION]", required=False, help="The execution's id or ARN.")
@click.option(
    "--uploads",
    "dataset",
    metavar="DATASET",
    help="Instead of EXECUTION: start again what was refused of the executions of uploads to this dataset.",
)
@_overrides
@click.option("--models", type=words, metavar="A,B", help="Models to score. Default: all; none with --fleets.")
@click.option("--fleets", type=words, metavar="A,B", help="Fleets to score. Default: all; none with --models.")
@plan_options
@start_options
@click.pass_obj
def resume(
    invocation: Invocation,
    *,
    execution: str | None,
    dataset: str | None,
    request: str,
    models: list[str] | None,
    fleets: list[str] | None,
    name: str | None,
    wait: bool,
    check: str | None,
    plan: bool,
    confirm: bool,
) -> ExitStatus:
    """Continue an execution that has ended, in a new one.

    It keeps what is scored already, as far as the model, its options and the object are the same,
    and scores the rest.
    """
    if dataset is not None:
        given = {"EXECUTION": execution, "--models": models, "--fleets": fleets, "--name": name, "--wait": wait}
        given |= {"--check": check, "--plan": plan, "--confirm": confirm}
        if words_left := [word for word, value in given.items() if value]:
            raise CommandError(f"--uploads: leave out {', '.join(words_left)}.")
        return resume_uploads(invocation, dataset, read_request(request))
    if execution is None:
        raise CommandError("Name the execution to continue, or a dataset with --uploads.")
    request_json = with_names(with_resume(read_request(request), execution), models=models, fleets=fleets)
    return _start_or_show(invocation, request_json, None, name=name, wait=wait, check=check, plan=plan, confirm=confirm)


@click.command(
    "retry",
    cls=Command,
    examples="""
    fleetscore retry nightly-2026-03-01 churn --wait
    fleetscore retry nightly-2026-03-01 churn delays.fleet
    """,
)
@execution_argument
@argument("jobs", metavar="JOB...", nargs=-1, required=True, help="The ids of jobs, as `fleetscore status` shows them.")
@_overrides
@plan_options
@start_options
@click.pass_obj
def retry(
    invocation: Invocation,
    *,
    execution: str,
    jobs: tuple[str, ...],
    request: str,
    name: str | None,
    wait: bool,
    check: str | None,
    plan: bool,
    confirm: bool,
) -> ExitStatus:
    """Resume an execution with the models of some of its jobs only."""
    executions = Executions(invocation.connection, invocation.deployment())
    snapshot = executions.snapshot(execution, count_committed=False)
    models, fleets = models_of(snapshot, jobs)
    request_json = with_resume(read_request(request), execution)
    request_json = with_names(request_json, models=models or None, fleets=fleets or None)
    return _start_or_show(
        invocation, request_json, snapshot, name=name, wait=wait, check=check, plan=plan, confirm=confirm
    )


def models_of(snapshot: Snapshot, wanted: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the ids of the models and fleets of jobs. A part stands for its whole job.

    Raises:
        CommandError: when the execution has no such job.
    """
    found = [item for name in wanted for item in items_of(snapshot, name)]
    models = [model_id for job in found if not job.fleet for model_id in job.model_ids]
    return list(dict.fromkeys(models)), list(dict.fromkeys(job.fleet for job in found if job.fleet))


def with_resume(request_json: str, execution: str) -> str:
    """Return the request's JSON text with the execution that it resumes. Invalid text stays as it is.

    Raises:
        CommandError: when the request names one too.
    """
    try:
        request: Any = parse_json(request_json, keep_surrogates=True)
    except JsonError:
        return request_json
    if not isinstance(request, dict):
        return request_json
    if "resume" in request:
        raise CommandError("Name the execution once: leave resume out of --input.")
    return json.dumps({"resume": execution.rpartition(":")[2], **request})


def _start_or_show(
    invocation: Invocation,
    request_json: str,
    old: Snapshot | None,
    *,
    name: str | None,
    wait: bool,
    check: str | None,
    plan: bool,
    confirm: bool,
) -> ExitStatus:
    check_request(request_json)
    if check is not None:
        return request_check.check(invocation, ExecutionKind.SCORING, request_json, check)
    if plan:
        return show_plan(invocation, request_json)
    deployment = invocation.changed_deployment()
    executions = Executions(invocation.connection, deployment)
    asked = parse_request(parse_json(request_json, keep_surrogates=True))
    if old is None:
        old = executions.snapshot(str(asked.resume), count_committed=False)
    # Before anything is started, because the plan would refuse it.
    Resumable(invocation.connection, deployment).check(asked, old)
    if confirm:
        confirm_plan(invocation, request_json)
    return start(executions, request_json, invocation.output, name=name, wait=wait)
