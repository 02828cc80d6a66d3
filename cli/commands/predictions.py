"""`fleetscore predictions`: where the complete predictions are, and their download."""

from collections.abc import Sequence
from pathlib import Path

import rich_click as click

from cli.command_line.click_classes import Command
from cli.command_line.invocation import Invocation
from cli.command_line.options import FILE
from cli.failures import CommandError, ExitStatus
from cli.stage.executions.executions import Executions
from cli.stage.predictions.download import check_is_free, content_of, describe_problems, download, find_files
from cli.stage.predictions.pointers import FoundPredictions, Predictions
from cli.stage.predictions.quarantine import find_quarantine
from cli.views.predictions import (
    incomplete_line,
    location_lines,
    predictions_json,
    predictions_table,
    windows_table,
)
from cli.views.tables import counted, size_text


@click.command(
    "predictions",
    cls=Command,
    examples="""
    fleetscore predictions
    fleetscore predictions --dataset flights
    fleetscore predictions --model churn --download churn/
    fleetscore predictions --execution nightly-2026-03-01 --json
    fleetscore predictions --execution nightly --quarantine --download bad-rows/
    """,
)
@click.option("--model", default="", metavar="ID", help="Of this model, or of this fleet.")
@click.option("--dataset", default="", metavar="NAME", help="For this dataset.")
@click.option("--execution", default="", metavar="ID", help="Of this execution, whether it is the latest or not.")
@click.option(
    "--download",
    "folder",
    type=FILE,
    metavar="DIR",
    help="Download the files to a new or empty folder, and check them.",
)
@click.option(
    "--quarantine", is_flag=True, help="Download the rows that --execution could not score, and not its predictions."
)
@click.pass_obj
def predictions(
    invocation: Invocation, *, model: str, dataset: str, execution: str, folder: Path | None, quarantine: bool
) -> ExitStatus:
    """Show where the latest complete predictions are, per dataset and model.

    Predictions are complete when the model's job succeeded. With --dataset, later upload windows
    with other objects are shown too: their predictions come on top.
    """
    if quarantine:
        return _download_quarantine(invocation, model, dataset, execution, folder)
    output, deployment = invocation.output, invocation.deployment()
    if folder is not None:
        if not (model or dataset or execution):
            raise CommandError("--download: name what to download with --model, --dataset or --execution.")
        check_is_free(folder)
    stage = Predictions(invocation.connection, deployment)
    incomplete: list[str] = []
    if execution:
        of_execution = stage.of_execution(execution, dataset, model)
        found, incomplete = of_execution.found, of_execution.incomplete
    else:
        found = stage.latest(dataset, model)
    is_latest = dataset and not execution
    windows = stage.windows_on_top(dataset, [item.pointer for item in found]) if is_latest else []
    value = predictions_json(found, windows, incomplete)
    if folder is not None:
        if not found:
            raise CommandError(nothing_found(model, dataset, execution))
        _download(invocation, found, folder)
    if not found:
        output.data(value, nothing_found(model, dataset, execution))
    else:
        # Places are long, so they are shown for one model only.
        output.data(value, predictions_table(found), *(location_lines(found) if model else ()))
    if windows:
        output.show("Parts that came later, of upload windows:", windows_table(windows))
    if incomplete:
        output.show(incomplete_line(incomplete, execution.rpartition(":")[2]))
    return ExitStatus.SUCCEEDED


def _download_quarantine(
    invocation: Invocation, model: str, dataset: str, execution: str, folder: Path | None
) -> ExitStatus:
    """Download the rows that an execution could not score.

    Raises:
        CommandError: when there are none, or an option is missing.
    """
    if folder is None or not execution:
        raise CommandError("--quarantine: add --execution with the execution's id, and --download with a folder.")
    check_is_free(folder)
    deployment, s3 = invocation.deployment(), invocation.connection.client("s3")
    snapshot = Executions(invocation.connection, deployment).snapshot(execution, count_committed=False)
    files = find_quarantine(s3, deployment.results_bucket, snapshot, dataset=dataset, model=model)
    if not files:
        raise CommandError(f"Execution {snapshot.execution_id!r} has no such rows in quarantine.")
    content = {"execution_id": snapshot.execution_id, "quarantine": [file.key for file in files]}
    download(s3, deployment.results_bucket, files, content, folder)
    size = sum(file.size for file in files)
    text = f"Downloaded {counted(len(files), 'file')} of rows in quarantine, {size_text(size)}, to {folder}."
    invocation.output.data({"execution_id": snapshot.execution_id, "files": len(files), "bytes": size}, text)
    return ExitStatus.SUCCEEDED


def nothing_found(model: str, dataset: str, execution: str) -> str:
    """Return what to do when nothing is complete yet."""
    chosen = "".join(f" of {word} {name!r}" for word, name in (("model", model), ("dataset", dataset)) if name)
    if execution:
        name = execution.rpartition(":")[2]
        return f"Execution {name!r} has no complete predictions{chosen}. `fleetscore status {name}` says why."
    return (
        f"No predictions{chosen} are complete yet: a model's job must have succeeded in an execution over the whole "
        "dataset. `fleetscore list` shows executions, `fleetscore predictions --execution ID` what each has."
    )


def _download(invocation: Invocation, found: Sequence[FoundPredictions], folder: Path) -> None:
    if expired := [item.pointer for item in found if item.state == "expired"]:
        raise CommandError(
            f"--download: the predictions of {expired[0].model_id!r} expired at {expired[0].outputs_expire_at}, so S3 "
            "may have deleted some of their files. Score the dataset again."
        )
    s3, bucket = invocation.connection.client("s3"), invocation.deployment().results_bucket
    pointers = [item.pointer for item in found]
    files = find_files(s3, bucket, pointers)
    if files.problems:
        raise CommandError(describe_problems(files))
    if files.without_ledger:
        invocation.output.notice(
            f"The ledger of {counted(len(files.without_ledger), 'job')} has expired, so only sizes are compared."
        )
    chosen = sorted(files.files.values(), key=lambda file: -file.size)
    download(s3, bucket, chosen, content_of(pointers), folder)
    total = size_text(sum(file.size for file in chosen))
    invocation.output.notice(f"Downloaded {counted(len(chosen), 'file')}, {total}, to {folder}.")
