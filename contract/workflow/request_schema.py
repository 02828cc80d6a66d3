"""Write the scoring request as a JSON Schema: `python -m contract.workflow.request_schema`.

For editors, API gateways and other machines. The schema says what `scoring_request.parse_request`
checks, as far as JSON Schema can. It cannot say two things: JSON Schema takes 1.0 for a whole
number, and implementations differ on whether a pattern's `$` matches before a final line break.
"""

import json
import sys
from typing import Any

from contract.names import DATASET_NAME, INSTANCE_TYPE, LABEL, MODEL_ID, UPLOAD_MANIFEST
from contract.workflow.scoring_request import MAX_CONCURRENCY_LIMIT, TASK_TOKEN_CHARACTERS

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
                    _model_ids(),
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
            "train": {
                "description": "Train first and score with what was promoted. {}: every chosen model with a recipe.",
                "type": ["object", "null"],
                "properties": {
                    "models": {
                        "description": "Model ids. Left out: the chosen models that have a recipe.",
                        "anyOf": [{"type": "null"}, _model_ids()],
                    },
                    "continue_on_failure": {
                        "description": "Score with what is current when the training did not succeed.",
                        "type": "boolean",
                    },
                },
                "additionalProperties": False,
            },
        },
    }


def schema_text() -> str:
    return json.dumps(request_schema(), indent=2) + "\n"


def _model_ids() -> dict[str, Any]:
    pattern = _whole(MODEL_ID.pattern)
    return {"type": "array", "items": {"type": "string", "pattern": pattern}, "minItems": 1, "uniqueItems": True}


def _whole(pattern: str) -> str:
    return f"^(?:{pattern})$"


def _text(description: str, pattern: str) -> dict[str, Any]:
    return {"description": description, "type": ["string", "null"], "pattern": _whole(pattern)}


def _number(kind: str, description: str, low: int, high: int) -> dict[str, Any]:
    return {"description": description, "type": [kind, "null"], "minimum": low, "maximum": high}


if __name__ == "__main__":
    sys.stdout.write(schema_text())
