"""The generated parts of the reference documents, which
`python -m cli.documents.reference docs/reference` writes."""

import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cli.documents.model_document import ModelDocument
from contract.catalog.fleets import FleetRecord
from contract.catalog.model_spec import ModelSpec
from contract.catalog.models import ModelVersion
from contract.schema.field_table import field_table
from contract.schema.json_schema import json_schema
from contract.workflow.request_schema import request_schema, schema_text, training_request_schema

COMMAND = "python -m cli.documents.reference docs/reference"
"""Command to run after a field has changed."""

_BEGIN = "<!-- Generated from the code by `" + COMMAND + "`. -->"
_END = "<!-- End of the generated part. -->"


def model_schema() -> dict[str, Any]:
    """Return the JSON Schema of `model.json`, the file that `fleetscore models register` reads."""
    schema = json_schema(
        ModelDocument,
        title="Fleetscore model",
        description="A model version to register: fleetscore models register @model.json.",
    )
    features = schema["properties"]["features"]
    description = f"{features.pop('description')} As text: name:type,… or @features.json."
    schema["properties"]["features"] = {
        "description": description,
        "anyOf": [features, {"type": "string", "minLength": 1}],
    }
    return schema


def record_table() -> str:
    """Return the reference table of a version's record, with the fields of its `spec` first."""
    return field_table(ModelSpec, ModelVersion, without=("spec",))


def generated(folder: Path) -> Mapping[Path, str]:
    """Return the current text of every document that is generated in whole or in part."""
    record, fleet, schemas = folder / "models/model-record.md", folder / "models/fleet-record.md", folder / "schemas"
    return {
        schemas / "request.schema.json": schema_text(request_schema()),
        schemas / "training-request.schema.json": schema_text(training_request_schema()),
        schemas / "model.schema.json": schema_text(model_schema()),
        record: between_markers(record.read_text(encoding="utf-8"), record_table()),
        fleet: between_markers(fleet.read_text(encoding="utf-8"), field_table(FleetRecord)),
    }


def between_markers(document: str, content: str) -> str:
    """Replace what is between the two markers of a Markdown document.

    Raises:
        ValueError: if the document lacks a marker.
    """
    pattern = re.compile(rf"({re.escape(_BEGIN)}\n).*?({re.escape(_END)}\n)", re.DOTALL)
    if pattern.search(document) is None:
        raise ValueError(f"The document lacks the lines {_BEGIN!r} and {_END!r}.")
    return pattern.sub(lambda match: f"{match[1]}\n{content}\n{match[2]}", document)


if __name__ == "__main__":
    for path, text in generated(Path(sys.argv[1])).items():
        path.write_text(text, encoding="utf-8")
