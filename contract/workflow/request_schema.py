"""JSON Schemas of the requests, for editors, API gateways and other programs.

`python -m contract.workflow.request_schema [training]` prints one.
"""

import json
import sys
from typing import Any

from contract.schema.json_schema import json_schema
from contract.workflow.scoring_request import ExecutionRequest
from contract.workflow.training_request import TrainingRequest


def request_schema() -> dict[str, Any]:
    """Return the schema of the scoring request. Null means the same as leaving a field out."""
    return json_schema(
        ExecutionRequest,
        title="Fleetscore execution request",
        description="The input of an execution. {} scores every enabled model on its own dataset.",
    )


def training_request_schema() -> dict[str, Any]:
    """Return the schema of the training request. Null means the same as leaving a field out."""
    return json_schema(
        TrainingRequest,
        title="Fleetscore training request",
        description="The input of a training execution. {} trains every enabled model that has a recipe.",
    )


def schema_text(schema: dict[str, Any]) -> str:
    """Return a schema as it is published."""
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    schema = training_request_schema() if sys.argv[1:] == ["training"] else request_schema()
    sys.stdout.write(schema_text(schema))
