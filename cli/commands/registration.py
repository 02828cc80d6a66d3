"""`fleetscore models register`: one model from flags or a JSON file, or many from a file of models. And `import`."""

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cli.documents.artifact import fetch_artifact
from cli.documents.bulk_file import read_bulk
from cli.documents.mlflow_folder import packed, read_mlflow_folder
from cli.documents.model_document import Draft, ModelDocument, read_draft, read_tags
from cli.documents.model_package import read_model_package
from cli.failures import CommandError, ExitStatus
from cli.output import Output
from cli.sample_scoring.schema_inference import InferredFeature, infer_features
from cli.stage.bulk_registration import bulk_json, register_all
from cli.stage.catalog import Catalog, Registered, caller
from cli.stage.connection import Connection
from cli.stage.deployment import find_deployment
from cli.views.models import inferred_view, model_json
from cli.views.tables import counted, plain_json, size_text
from contract.dataset.input_options import InputOptions
from contract.problems import InvalidInputError, Problem

_DOCUMENT_FLAGS = frozenset(ModelDocument.__dataclass_fields__) - {"model_id", "tags", "source"}

_INPUT_FLAGS = frozenset(InputOptions.__dataclass_fields__)

_STAND_IN = [{"name": "any", "type": "double"}]


def register(options: Namespace, connection: Connection, output: Output) -> ExitStatus:
    if options.bulk is not None:
        return _register_bulk(options, connection, output)
    if options.model is None:
        raise CommandError("Say which model: MODEL_ID, @model.json, or --bulk with a file of models.")
    return register_draft(draft_of(options), options, connection, output)


def _register_bulk(options: Namespace, connection: Connection, output: Output) -> ExitStatus:
    given = [
        f"--{name.replace('_', '-')}" for name in vars(options) if name in {*_DOCUMENT_FLAGS, *_INPUT_FLAGS, "tag"}
    ]
    given += [name for name, value in (("MODEL_ID", options.model), ("--infer-schema", options.infer_schema)) if value]
    if given:
        raise CommandError(f"--bulk takes every field from the file: leave out {', '.join(sorted(given))}.")
    lines = read_bulk(options.bulk)
    catalog = Catalog(connection, find_deployment(connection, options.stage))
    done = register_all(catalog, lines, options.bulk.parent, registered_by=caller(connection), notice=output.notice)
    there = f"; {done.versions_found:,} of the versions were there already" if done.versions_found else ""
    output.data(bulk_json(done), f"Registered {counted(len(done.models), 'model')}{there}.")
    return ExitStatus.SUCCEEDED


def import_model(options: Namespace, connection: Connection, output: Output) -> ExitStatus:
    """Register what another registry holds; words of the command go over what it says."""
    draft = draft_of(options)
    if options.model_package is not None:
        found = read_model_package(connection.client("sagemaker"), options.model_package)
        return register_draft(draft.over(found), options, connection, output)
    model = read_mlflow_folder(options.mlflow)
    fields = dict(model.fields)
    if options.infer_schema is not None or "features" in draft.fields:
        fields.pop("features", None)
    elif model.problems:
        draft = draft.but(*model.problems)
    elif "features" not in fields:
        remedy = "Say --features, or --infer-schema with a sample."
        draft = draft.but(Problem("signature", None, "named columns in the model's signature", remedy))
    with packed(model) as path:
        return register_draft(draft.over({**fields, "artifact": str(path)}), options, connection, output)


def draft_of(options: Namespace) -> Draft:
    """What the words of `register` or `import` say, with their problems."""
    flags: dict[str, Any] = {name: value for name, value in vars(options).items() if name in _DOCUMENT_FLAGS}
    problems: list[Problem] = []
    if "tag" in options:
        flags["tags"], problems = read_tags(options.tag)
    draft = read_draft(options.model, flags).but(*problems)
    read_as = {name: value for name, value in vars(options).items() if name in _INPUT_FLAGS}
    if not read_as:
        return draft
    before = draft.fields.get("input", {})
    return draft.but(input={**before, **read_as} if isinstance(before, dict) else before)


def register_draft(draft: Draft, options: Namespace, connection: Connection, output: Output) -> ExitStatus:
    """Infer the features where that is asked for, register, and say what was done."""
    inferred: Sequence[InferredFeature] = ()
    if options.infer_schema is not None:
        draft, inferred = infer_into(draft, options.infer_schema, connection)
    document = draft.document()
    if inferred:
        output.show(*inferred_view(inferred))
    catalog = Catalog(connection, find_deployment(connection, options.stage))
    done = catalog.register(document, folder=draft.folder, registered_by=caller(connection))
    _report(done, output)
    return ExitStatus.SUCCEEDED


def infer_into(draft: Draft, sample: Path, connection: Connection) -> tuple[Draft, Sequence[InferredFeature]]:
    """The draft with features out of its artifact and the sample.

    Raises:
        InvalidInputError: with all other problems of the draft, before the artifact is loaded; or when the features
            cannot be inferred.
    """
    problems: list[Problem] = []
    if "features" in draft.fields:
        problems.append(Problem("features", "given", "either features or --infer-schema, not both"))
    if not sample.is_file():
        problems.append(Problem("--infer-schema", str(sample), "a file that exists"))
    document = draft.but(*problems, features=_STAND_IN).document()
    s3 = connection.client("s3") if document.artifact.startswith("s3://") else None
    with fetch_artifact(document.artifact, draft.folder, s3) as (path, missing):
        if path is None:
            raise InvalidInputError("model", missing)
        found = infer_features(
            path, document.format, document.model_file, sample, document.key_columns, read_as=document.input
        )
    return draft.but(features=[plain_json(item.feature) for item in found]), found


def _report(done: Registered, output: Output) -> None:
    spec = done.version.spec
    size = size_text(spec.artifact_bytes)
    lines = [f"Registered {spec.model_id}, version {spec.version}: {done.artifact_uri}"]
    lines.append(f"The artifact has {size} and the SHA-256 {spec.artifact_sha256}.")
    if not done.model.enabled:
        lines.append(f"The model is disabled: `fleetscore models enable {spec.model_id}` lets executions score it.")
    output.data({**model_json(done.model, done.version), "artifact_uri": done.artifact_uri}, *lines)
