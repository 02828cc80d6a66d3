"""The request as a JSON Schema, for editors, API gateways and other machines: `python -m contract.request_schema`.

It says what `contract.request.parse_request` says, as far as JSON Schema can. Two things it cannot: JSON Schema takes
1.0 for a whole number, and counts the characters of a pattern's `$` as it likes before a final line break.
"""

import json
import sys
from typing import Any

from contract.names import DATASET_NAME, INSTANCE_TYPE, LABEL, MODEL_ID, UPLOAD_MANIFEST
from contract.request import MAX_CONCURRENCY_LIMIT, TASK_TOKEN_CHARACTERS

_PATTERN_LETTERS = "1 to 63 of a-z, 0-9, '-' and '_', with a letter or digit at both ends"


def request_schema() -> dict[str, Any]:
    """The schema, draft 2020-12. Null is the same as leaving a field out."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Fleetscore execution request",
        "description": "The input of an execution. {} scores every enabled model on its own dataset.",
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "models": {
                "description": "Model ids, or tags that every chosen model carries. Left out: every enabled model.",
                "anyOf": [
                    {"type": "null"},
                    {
                        "type": "array",
                        "items": {"type": "string", "pattern": _whole(MODEL_ID.pattern)},
                        "minItems": 1,
                        "uniqueItems": True,
                    },
                    {
                        "type": "object",
                        "properties": {
                            "tags": {"type": "object", "additionalProperties": {"type": "string"}, "minProperties": 1}
                        },
                        "required": ["tags"],
                        "additionalProperties": False,
                    },
                ],
            },
            "dataset": _text("One dataset for all chosen models: " + _PATTERN_LETTERS, DATASET_NAME.pattern),
            "max_concurrency": _number("integer", "Jobs that may be open at once.", 1, MAX_CONCURRENCY_LIMIT),
            "tolerated_failure_percentage": _number("number", "Share of failed jobs past which it stops.", 0, 100),
            "instance_type": _text("A SageMaker instance type such as ml.m5.xlarge.", INSTANCE_TYPE.pattern),
            "instance_count": _number("integer", "Instances a job.", 1, 100),
            "models_per_job": _number("integer", "Models over one dataset that share a job.", 1, 1_000),
            "execution_label": _text("Free text for people.", LABEL.pattern),
            "tolerated_quarantine_fraction": _number("number", "Share of an object's rows that may be bad.", 0, 1),
            "objects_manifest": _text("Key of an upload manifest in the results bucket.", UPLOAD_MANIFEST.pattern),
            "task_token": {
                "description": "Of a Step Functions task that waits for this execution; answered at its end.",
                "type": ["string", "null"],
                "minLength": 1,
                "maxLength": TASK_TOKEN_CHARACTERS,
            },
        },
    }


def schema_text() -> str:
    return json.dumps(request_schema(), indent=2) + "\n"


def _whole(pattern: str) -> str:
    return f"^(?:{pattern})$"


def _text(description: str, pattern: str) -> dict[str, Any]:
    return {"description": description, "type": ["string", "null"], "pattern": _whole(pattern)}


def _number(kind: str, description: str, low: int, high: int) -> dict[str, Any]:
    return {"description": description, "type": [kind, "null"], "minimum": low, "maximum": high}


if __name__ == "__main__":
    sys.stdout.write(schema_text())
