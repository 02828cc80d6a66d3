"""`fleetscore models register` and `import`: new versions of models."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import rich_click as click

from cli.command_line.click_classes import Command, argument
from cli.command_line.invocation import Invocation
from cli.command_line.options import FILE
from cli.command_line.output import Output
from cli.command_line.record_options import (
    REQUIRED_PANEL,
    given_fields,
    given_flags,
    missing_flags_named,
    record_options,
)
from cli.documents.artifact import fetch_artifact
from cli.documents.bulk_file import describe_lines, read_bulk
from cli.documents.mlflow_folder import packed, read_mlflow_folder
from cli.documents.model_document import Draft, ModelDocument, read_draft, read_tags
from cli.documents.model_package import read_model_package
from cli.documents.record_flags import record_flags
from cli.failures import CommandError, ExitStatus
from cli.sample_scoring.container_process import isolation_notice
from cli.sample_scoring.load_checks import find_load_problems
from cli.sample_scoring.schema_inference import InferredFeature, infer_features
from cli.stage.catalog.bulk_registration import bulk_json, register_all, set_back_json
from cli.stage.catalog.catalog import Catalog, Registered, caller
from cli.stage.catalog.fleets import Fleets
from cli.stage.catalog.superseded import SetBackError
from cli.stage.connection import Connection
from cli.views.models.fleets import fleet_notes
from cli.views.models.models import inferred_view, model_json
from cli.views.tables import counted, plain_json, size_text
from contract.problems import InvalidInputError, Problem

_INPUT_PARAMETERS = {flag.parameter: flag.field for flag in record_flags() if flag.of_input}
_SHOWN_NOTES = 20
"""Largest number of notes to show after a bulk registration."""
_PLACEHOLDER_FEATURES = [{"name": "any", "type": "double"}]
"""Features of a document while its other fields are validated, before the features are inferred."""

infer_schema_option = click.option(
    "--infer-schema",
    type=FILE,
    metavar="SAMPLE",
    panel=REQUIRED_PANEL,
    help="Instead of --features: read their names from the artifact, which is loaded, and their types from this "
    "sample.",
)
no_load_check_option = click.option(
    "--no-load-check",
    is_flag=True,
    panel="Loading and custom code",
    help="Do not load the model here to see whether jobs can.",
)

allow_backwards_option = click.option(
    "--allow-backwards",
    is_flag=True,
    panel="Version",
    help="Also register an artifact of an older version than the current one.",
)


@click.command(
    "register",
    cls=Command,
    examples=r"""
    fleetscore models register churn --artifact model.tar.gz --dataset customers \
        --format sklearn-joblib --model-file model.joblib --method predict_proba \
        --features "age:double,plan:string" --key-columns id
    fleetscore models register @churn/model.json --tag team=risk
    """,
)
@argument(
    "model",
    required=False,
    metavar="[MODEL_ID|@model.json]",
    help="The model's id, or a JSON file with the fields below; options take precedence over the file.",
)
@record_options(artifact=True)
@infer_schema_option
@no_load_check_option
@allow_backwards_option
@click.option(
    "--bulk",
    type=FILE,
    metavar="FILE.jsonl|FILE.csv",
    panel="Many models",
    help="Register every model of this file, or none when one has a problem.",
)
@click.pass_obj
def register(
    invocation: Invocation,
    /,
    *,
    model: str | None,
    bulk: Path | None,
    infer_schema: Path | None,
    no_load_check: bool,
    allow_backwards: bool,
    **parameters: Any,
) -> ExitStatus:
    """Register a new version of a model, and make it the current one.

    The artifact is validated and stored in the models bucket.
    """
    fields = given_fields(parameters)
    checks = _Checks(load=not no_load_check, allow_backwards=allow_backwards)
    if bulk is not None:
        given = [
            *given_flags(fields),
            *(["--infer-schema"] if infer_schema is not None else []),
            *(["MODEL_ID"] if model else []),
        ]
        if given:
            raise CommandError(f"--bulk takes every field from the file: leave out {', '.join(sorted(given))}.")
        return _register_bulk(invocation, bulk, checks)
    if model is None:
        raise CommandError("Name the model: MODEL_ID, @model.json, or --bulk with a file of models.")
    return _register_draft(invocation, draft_of(model, fields), infer_schema, checks)


@click.command(
    "import",
    cls=Command,
    examples=r"""
    fleetscore models import churn --mlflow mlruns/model --dataset customers
    fleetscore models import churn --dataset customers --format xgboost-ubj \
        --model-file xgboost-model --method predict --infer-schema sample.csv \
        --model-package "$MODEL_PACKAGE_ARN"
    """,
)
@argument("model", metavar="MODEL_ID", help="The model's id in the catalog.")
@click.option("--mlflow", type=FILE, metavar="FOLDER", panel="Source (exactly one)", help="Model folder of MLflow.")
@click.option(
    "--model-package",
    metavar="ARN",
    panel="Source (exactly one)",
    help="Approved model package of SageMaker's Model Registry.",
)
@record_options(artifact=False)
@infer_schema_option
@no_load_check_option
@allow_backwards_option
@click.pass_context
def import_model(
    ctx: click.Context,
    /,
    *,
    model: str,
    mlflow: Path | None,
    model_package: str | None,
    infer_schema: Path | None,
    no_load_check: bool,
    allow_backwards: bool,
    **parameters: Any,
) -> ExitStatus:
    """Register a version of a model from another registry.

    Options take precedence over the registry.
    """
    invocation: Invocation = ctx.obj
    draft = draft_of(model, given_fields(parameters))
    checks = _Checks(load=not no_load_check, allow_backwards=allow_backwards)
    if (mlflow is None) == (model_package is None):
        raise click.UsageError("Exactly one of --mlflow and --model-package is required.", ctx)
    if model_package is not None:
        found = read_model_package(invocation.connection.client("sagemaker"), model_package)
        return _register_draft(invocation, draft.with_defaults(found), infer_schema, checks)
    assert mlflow is not None  # noqa: S101 - exactly one of the two is given
    folder = read_mlflow_folder(mlflow)
    fields = dict(folder.fields)
    if infer_schema is not None or "features" in draft.fields:
        fields.pop("features", None)
    elif folder.problems:
        draft = draft.with_changes(*folder.problems)
    elif "features" not in fields:
        remedy = "Add --features, or --infer-schema with a sample."
        draft = draft.with_changes(Problem("signature", None, "named columns in the model's signature", remedy))
    if folder.method_problem is not None and "method" not in draft.fields:
        draft = draft.with_changes(folder.method_problem)
    with packed(folder) as path:
        draft = draft.with_defaults({**fields, "artifact": str(path)})
        return _register_draft(invocation, draft, infer_schema, checks)


def draft_of(model: str, fields: Mapping[str, Any]) -> Draft:
    """Return the draft for a model id or `@model.json`.

    Fields of the command line override those of the file.
    """
    document = {name: value for name, value in fields.items() if name not in _INPUT_PARAMETERS}
    problems: list[Problem] = []
    if "tags" in fields:
        document["tags"], problems = read_tags(fields["tags"])
    draft = read_draft(model, document).with_changes(*problems)
    read_as = {_INPUT_PARAMETERS[name]: value for name, value in fields.items() if name in _INPUT_PARAMETERS}
    if not read_as:
        return draft
    before = draft.fields.get("input", {})
    return draft.with_changes(input={**before, **read_as} if isinstance(before, dict) else before)


@dataclass(frozen=True)
class _Checks:
    """Which checks run before a registration."""

    load: bool
    allow_backwards: bool


def _register_bulk(invocation: Invocation, file: Path, checks: _Checks) -> ExitStatus:
    output = invocation.output
    lines = read_bulk(file, _completion(invocation))
    deployment = invocation.changed_deployment()
    catalog = Catalog(invocation.connection, deployment)

    def check(documents: Iterable[ModelDocument], at_most: int) -> Mapping[str, Sequence[Problem]]:
        if not checks.load:
            return {}
        opened = partial(_fetch, folder=file.parent, s3=catalog.s3)
        return find_load_problems(documents, opened, at_most=at_most, notice=output.notice)

    with _set_back_listed(output):
        done = register_all(
            catalog,
            lines,
            file,
            registered_by=caller(invocation.connection),
            check=check,
            notice=output.notice,
            allow_backwards=checks.allow_backwards,
        )
    existing = f"; {done.versions_found:,} of the versions existed already" if done.versions_found else ""
    shown = [f"Note: {describe_lines(lines)}: {note}" for note, lines in list(done.notes.items())[:_SHOWN_NOTES]]
    if len(done.notes) > _SHOWN_NOTES:
        shown.append(f"and {len(done.notes) - _SHOWN_NOTES:,} more notes, which --json has")
    named = {line.document.fleet for line in lines if line.document.fleet}
    fleets = Fleets(invocation.connection, deployment).all() if named else []
    shown += [note for fleet in fleets if fleet.record.fleet_id in named for note in fleet_notes(fleet)]
    output.data(bulk_json(done), f"Registered {counted(len(done.models), 'model')}{existing}.", *shown)
    return ExitStatus.SUCCEEDED


def _fetch(document: ModelDocument, *, folder: Path, s3: Any) -> AbstractContextManager[tuple[Path | None, Any]]:
    return fetch_artifact(document.artifact, folder, s3)


@contextmanager
def _set_back_listed(output: Output) -> Iterator[None]:
    """List all models that would be set back with --json, which the error's message may shorten."""
    try:
        yield
    except SetBackError as error:
        output.data({"models": [], "set_back": set_back_json(error.models)})
        raise


def _register_draft(invocation: Invocation, draft: Draft, infer_schema: Path | None, checks: _Checks) -> ExitStatus:
    inferred: Sequence[InferredFeature] = ()
    draft = _completion(invocation)(draft)
    with missing_flags_named():
        if infer_schema is not None:
            if notice := isolation_notice():
                invocation.output.notice(notice)
            draft, inferred = with_inferred_features(draft, infer_schema, invocation.connection)
        document = draft.document()
    output = invocation.output
    if inferred:
        output.show(*inferred_view(inferred))
    catalog = Catalog(invocation.connection, invocation.changed_deployment())

    def check(path: Path, document: ModelDocument) -> Sequence[Problem]:
        if not checks.load:
            return ()
        found = find_load_problems([document], lambda _: nullcontext((path, [])), at_most=1)
        return found.get(document.model_id, ())

    registered_by = caller(invocation.connection)
    with _set_back_listed(output):
        done = catalog.register(
            document,
            folder=draft.folder,
            registered_by=registered_by,
            check=check,
            allow_backwards=checks.allow_backwards,
        )
    value = {**model_json(done.model, done.version), "artifact_uri": done.artifact_uri, "notes": list(done.notes)}
    output.data(value, *_registered_lines(done))
    return ExitStatus.SUCCEEDED


def _completion(invocation: Invocation) -> Callable[[Draft], Draft]:
    """Return a function that adds the dataset of its fleet to a draft without one.

    AWS is called only for such drafts.
    """
    found: list[Fleets] = []

    def complete(draft: Draft) -> Draft:
        if not draft.fields.get("fleet") or "dataset" in draft.fields:
            return draft
        if not found:
            found.append(Fleets(invocation.connection, invocation.deployment()))
        return found[0].with_dataset(draft)

    return complete


def with_inferred_features(
    draft: Draft, sample: Path, connection: Connection
) -> tuple[Draft, Sequence[InferredFeature]]:
    """Return the draft with features inferred from its artifact and the sample.

    Raises:
        InvalidInputError: with all other problems of the draft, before the artifact is loaded; or
            when the features cannot be inferred.
    """
    problems: list[Problem] = []
    if "features" in draft.fields:
        problems.append(Problem("features", "given", "either features or --infer-schema, not both"))
    if not sample.is_file():
        problems.append(Problem("--infer-schema", str(sample), "a file that exists"))
    document = draft.with_changes(*problems, features=_PLACEHOLDER_FEATURES).document()
    s3 = connection.client("s3") if document.artifact.startswith("s3://") else None
    with fetch_artifact(document.artifact, draft.folder, s3) as (path, missing):
        if path is None:
            raise InvalidInputError("model", missing)
        found = infer_features(
            path, document.format, document.model_file, sample, document.key_columns, read_as=document.input
        )
    return draft.with_changes(features=[plain_json(item.feature) for item in found]), found


def _registered_lines(done: Registered) -> list[str]:
    spec = done.version.spec
    lines = [
        f"Registered {spec.model_id}, version {spec.version}: {done.artifact_uri}",
        f"The artifact has {size_text(spec.artifact_bytes)} and the SHA-256 {spec.artifact_sha256}.",
    ]
    lines += [f"Note: {note}" for note in done.notes]
    if done.version.fleet:
        routes = ", ".join(done.version.route) or "none"
        lines.append(f"It is of fleet {done.version.fleet}, with the routes: {routes}")
        lines.append(f"Whether a plan accepts the fleet: `fleetscore fleets show {done.version.fleet}`")
    if not done.model.enabled:
        lines.append(f"The model is disabled: `fleetscore models enable {spec.model_id}` includes it in executions.")
    return lines
