"""`fleetscore models test`: score a sample on this machine, as a job would."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import rich_click as click

from cli.command_line.click_classes import Command, argument
from cli.command_line.invocation import Invocation
from cli.command_line.options import FILE, count, model_argument
from cli.commands.models.registration import with_inferred_features
from cli.documents.artifact import fetch_artifact, hash_artifact
from cli.documents.model_document import read_draft
from cli.failures import CommandError, ExitStatus
from cli.sample_scoring.container_process import isolation_notice
from cli.sample_scoring.local_scoring import ScoringFailedError, check_sample, score_sample, without_tracebacks
from cli.sample_scoring.schema_inference import InferredFeature
from cli.stage.catalog.catalog import Catalog, no_current_version_message
from cli.views.models.models import inferred_view, score_json, score_view
from cli.views.tables import plain_json
from contract.catalog.models import ModelVersion
from contract.problems import InvalidInputError, Problem

_ANY_DATASET = "sample"
"""Placeholder for the dataset of a record without one; a test does not use it."""


@click.command(
    "test",
    cls=Command,
    examples="""
    fleetscore models test churn sample.parquet
    fleetscore models test churn sample.csv --record churn/model.json --rows 20
    fleetscore models test churn sample.csv --record model.json --infer-schema
    """,
)
@model_argument
@argument(
    "sample",
    type=FILE,
    metavar="SAMPLE",
    help="A Parquet, CSV or JSON Lines file. Its extension determines the format.",
)
@click.option("--version", metavar="V", help="A version of the catalog. Default: the current one.")
@click.option(
    "--record",
    type=FILE,
    metavar="MODEL.json",
    help="A record as `register` takes it, instead of a version of the catalog.",
)
@click.option(
    "--artifact", metavar="PATH", help="With --record: the model.tar.gz to test. Default: the record's artifact."
)
@click.option(
    "--infer-schema",
    is_flag=True,
    help="With --record: read the features from the artifact and the sample instead of the record.",
)
@click.option("--rows", type=count, default="5", metavar="N", help="Number of rows to show. Default: 5.")
@click.pass_obj
def test(
    invocation: Invocation,
    *,
    model_id: str,
    sample: Path,
    version: str | None,
    record: Path | None,
    artifact: str | None,
    infer_schema: bool,
    rows: int,
) -> ExitStatus:
    """Score a sample on this machine with the container's code.

    With --record, AWS is called only to download an artifact from S3. If scoring fails, the log is
    shown too, without tracebacks of errors that the message explains (--debug shows them). It may
    hold values of the sample, which never leave the container of a job.

    The model's code gets none of your variables and another HOME. On Linux it also sees none of
    your files and has no network. Where the system does not permit that, a message says so: the
    code then runs with your rights.
    """
    check_sample(sample)
    output = invocation.output
    inferred: Sequence[InferredFeature] = ()
    with ExitStack() as stack:
        if record is not None:
            if version is not None:
                raise CommandError("Use either --version, for a version of the catalog, or --record, for a file.")
            schema = sample if infer_schema else None
            tested, path, inferred = _from_record(invocation, model_id, record, artifact, stack, schema=schema)
        elif artifact is not None or infer_schema:
            option, own = ("--artifact", "artifact") if artifact is not None else ("--infer-schema", "features")
            raise CommandError(f"{option} needs --record: a version of the catalog has its own {own}.")
        else:
            tested, path = _from_catalog(invocation, model_id, version, stack)
        if notice := isolation_notice():
            output.notice(notice)
        try:
            done = score_sample(tested, path, sample, rows=rows)
        except ScoringFailedError as error:
            log = error.log
            if not invocation.debug:
                log = without_tracebacks(log, keep_texts=not error.explained)
            if log:
                output.notice(log)
            raise
    if done.log:
        output.notice(done.log)
    shown = (tested, done.preview, done.notes)
    features = {"inferred_features": [plain_json(item.feature) for item in inferred]} if infer_schema else {}
    output.data({**score_json(*shown), **features}, *(inferred_view(inferred) if inferred else ()), *score_view(*shown))
    return ExitStatus.SUCCEEDED


def _from_record(
    invocation: Invocation,
    model_id: str,
    record: Path,
    artifact: str | None,
    stack: ExitStack,
    *,
    schema: Path | None,
) -> tuple[ModelVersion, Path, Sequence[InferredFeature]]:
    """Return the version of a record, its artifact as a local file while `stack` is open, and inferred features.

    `schema` is the sample from which the features are inferred, or None to take those of the record.
    """
    flags = {} if artifact is None else {"artifact": artifact}
    draft = read_draft(f"@{record}", flags).with_defaults({"model_id": model_id, "dataset": _ANY_DATASET})
    inferred: Sequence[InferredFeature] = ()
    if schema is not None:
        draft, inferred = with_inferred_features(draft.without("features"), schema, invocation.connection)
    document = draft.document()
    if document.model_id != model_id:
        problem = Problem("model_id", document.model_id, f"{model_id!r}, the model to test")
        raise InvalidInputError(f"model {model_id}", [problem])
    s3 = invocation.connection.client("s3") if document.artifact.startswith("s3://") else None
    path, problems = stack.enter_context(fetch_artifact(document.artifact, draft.folder, s3))
    if path is None:
        raise InvalidInputError(f"model {model_id}", problems)
    hashed = hash_artifact(path)
    return document.model_version(document.version or "unregistered", hashed.sha256, hashed.size), path, inferred


def _from_catalog(
    invocation: Invocation, model_id: str, version: str | None, stack: ExitStack
) -> tuple[ModelVersion, Path]:
    """Return a version of the catalog, and its artifact as a local file while `stack` is open."""
    catalog = Catalog(invocation.connection, invocation.deployment())
    model, versions = catalog.show(model_id, version)
    if version is None and model is None:
        raise CommandError(no_current_version_message(model_id))
    name = version or (model.current_version if model is not None else "")
    found = next((known for known in versions if known.spec.version == name), None)
    if found is None:
        raise CommandError(
            f"The current version {name} of model {model_id} does not exist. "
            "`fleetscore models promote` makes another version current."
        )
    return found, stack.enter_context(catalog.artifact(found))
