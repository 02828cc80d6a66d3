"""`fleetscore models …`."""

from argparse import Namespace
from contextlib import ExitStack
from pathlib import Path

from cli.documents.artifact import fetch_artifact, hash_artifact
from cli.documents.comparison import compare
from cli.documents.model_document import read_draft
from cli.failures import CommandError, ExitStatus
from cli.output import Output
from cli.sample_scoring.local_scoring import ScoringFailedError, check_sample, score_sample
from cli.stage.catalog import Catalog, caller, no_current
from cli.stage.connection import Connection
from cli.stage.deployment import find_deployment
from cli.views.models import (
    comparison_json,
    comparison_view,
    history_table,
    model_json,
    models_table,
    score_json,
    score_view,
    version_table,
    versions_table,
)
from cli.views.recipes import decision_line
from cli.views.tables import plain_json
from contract.catalog.models import REASON_CHARACTERS, Model, ModelVersion
from contract.problems import InvalidInputError, Problem

_NO_DATASET = "sample"
"""Of a record that is only tried and may name none."""


def list_models(options: Namespace, connection: Connection, output: Output) -> ExitStatus:
    models = Catalog(connection, find_deployment(connection, options.stage)).models()
    shown = models_table(models) if models else "No models. Register one with `fleetscore models register`."
    output.data([model_json(model, version) for model, version in models], shown)
    return ExitStatus.SUCCEEDED


def show(options: Namespace, connection: Connection, output: Output) -> ExitStatus:
    catalog = Catalog(connection, find_deployment(connection, options.stage))
    model, versions = catalog.show(options.model, options.version)
    details = version_table(versions[0]) if options.version else versions_table(model, versions)
    decided = [line for line in map(decision_line, versions) if line]
    history = [history_table(model)] if model is not None and model.history and not options.version else []
    about = {"model_id": options.model, "current_version": None} if model is None else plain_json(model)
    heading = no_current(options.model) if model is None else _describe(model)
    output.data({**about, "versions": [plain_json(v) for v in versions]}, heading, details, *decided, *history)
    return ExitStatus.SUCCEEDED


def promote(options: Namespace, connection: Connection, output: Output) -> ExitStatus:
    catalog = Catalog(connection, find_deployment(connection, options.stage))
    check_reason(options.reason)
    model = catalog.promote(options.model, options.version, changed_by=caller(connection), reason=options.reason)
    output.data(plain_json(model), _describe(model))
    return ExitStatus.SUCCEEDED


def roll_back(options: Namespace, connection: Connection, output: Output) -> ExitStatus:
    catalog = Catalog(connection, find_deployment(connection, options.stage))
    check_reason(options.reason)
    model = catalog.roll_back(options.model, changed_by=caller(connection), reason=options.reason)
    output.data(plain_json(model), _describe(model))
    return ExitStatus.SUCCEEDED


def compare_versions(options: Namespace, connection: Connection, output: Output) -> ExitStatus:
    catalog = Catalog(connection, find_deployment(connection, options.stage))
    [first] = catalog.show(options.model, options.first)[1]
    [second] = catalog.show(options.model, options.second)[1]
    found = compare(first, second)
    output.data(comparison_json(found), *comparison_view(found))
    return ExitStatus.SUCCEEDED


def switch(options: Namespace, connection: Connection, output: Output) -> ExitStatus:
    catalog = Catalog(connection, find_deployment(connection, options.stage))
    model = catalog.set_enabled(options.model, options.enabled)
    output.data(plain_json(model), _describe(model))
    return ExitStatus.SUCCEEDED


def test(options: Namespace, connection: Connection, output: Output) -> ExitStatus:
    """Score a sample on this machine; AWS is asked only for a model of the catalog."""
    check_sample(options.sample)
    with ExitStack() as stack:
        if options.record is not None:
            if options.version is not None:
                raise CommandError("Either --version, of the catalog, or --record, of a file.")
            version, artifact = _unregistered(options, connection, stack)
        else:
            version, artifact = _registered(options, connection, stack)
        try:
            done = score_sample(version, artifact, options.sample, rows=options.rows)
        except ScoringFailedError as error:
            if error.log and (options.debug or not error.explained):
                output.notice(error.log)
            raise
    if done.log:
        output.notice(done.log)
    shown = (version, done.preview, done.notes)
    output.data(score_json(*shown), *score_view(*shown))
    return ExitStatus.SUCCEEDED


def _unregistered(options: Namespace, connection: Connection, stack: ExitStack) -> tuple[ModelVersion, Path]:
    flags = {} if options.artifact is None else {"artifact": options.artifact}
    draft = read_draft(f"@{options.record}", flags).over({"model_id": options.model, "dataset": _NO_DATASET})
    document = draft.document()
    if document.model_id != options.model:
        problem = Problem("model_id", document.model_id, f"{options.model!r}, the model that is to be tested")
        raise InvalidInputError(f"model {options.model}", [problem])
    s3 = connection.client("s3") if document.artifact.startswith("s3://") else None
    path, problems = stack.enter_context(fetch_artifact(document.artifact, draft.folder, s3))
    if path is None:
        raise InvalidInputError(f"model {options.model}", problems)
    artifact = hash_artifact(path)
    return document.model_version(document.version or "unregistered", artifact.sha256, artifact.size), path


def _registered(options: Namespace, connection: Connection, stack: ExitStack) -> tuple[ModelVersion, Path]:
    if options.artifact is not None:
        raise CommandError("--artifact goes with --record: a version of the catalog has its own artifact.")
    catalog = Catalog(connection, find_deployment(connection, options.stage))
    model, versions = catalog.show(options.model, options.version)
    if options.version is None and model is None:
        raise CommandError(no_current(options.model))
    name = options.version or (model.current_version if model is not None else "")
    version = next((known for known in versions if known.spec.version == name), None)
    if version is None:
        raise CommandError(f"Model {options.model} names version {name} as current, and has no such version.")
    return version, stack.enter_context(catalog.artifact(version))


def check_reason(reason: str) -> None:
    """Refuse a reason that is too long for the model's history, before anything is asked of AWS."""
    if len(reason) > REASON_CHARACTERS:
        raise InvalidInputError("reason", [Problem("--reason", reason, f"at most {REASON_CHARACTERS} characters")])


def _describe(model: Model) -> str:
    tags = "".join(f", {key}={value}" for key, value in sorted(model.tags.items()))
    enabled = "enabled" if model.enabled else "disabled"
    before = f", before it {model.previous_version}" if model.previous_version else ""
    return f"{model.model_id}: {enabled}, current version {model.current_version}{before}{tags}"
