"""Independent validators accept the state machines and the policies of docs/extend.md."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.e2e.clients.test_documented_clients import blocks
from tests.unit.infra.definitions.test_definitions import statelint
from tests.unit.infra.verification.test_templates import lint, template

ROOT = Path(__file__).parents[4]
WORDS = {
    "STATE_MACHINE_ARN": "arn:aws:states:eu-central-1:123456789012:stateMachine:fleetscore-dev",
    "EXECUTIONS_ARN": "arn:aws:states:eu-central-1:123456789012:execution:fleetscore-dev:*",
    "QUEUE_URL": "https://sqs.eu-central-1.amazonaws.com/123456789012/scored",
    "QUEUE_ARN": "arn:aws:sqs:eu-central-1:123456789012:scored",
    "REGION": "eu-central-1",
    "ACCOUNT": "123456789012",
}


def documents() -> list[dict[str, object]]:
    found = []
    for text in blocks("docs/extend.md", "json"):
        for word, value in WORDS.items():
            text = text.replace(word, value)  # noqa: PLW2901
        found.append(json.loads(text))
    return found


DEFINITIONS = [document for document in documents() if "StartAt" in document]
POLICIES = [document for document in documents() if "Statement" in document]


def test_the_page_has_two_workflows_with_their_policies() -> None:
    assert (len(DEFINITIONS), len(POLICIES)) == (2, 2)


@pytest.mark.parametrize("definition", DEFINITIONS, ids=["token", "execution"])
def test_validators_accept_the_workflows(definition: dict[str, object], tmp_path: Path) -> None:
    text = json.dumps(definition)
    assert statelint(text) == []
    file = tmp_path / "workflow.asl.json"
    file.write_text(text)
    command = [ROOT / "node_modules" / ".bin" / "asl-validator", "--json-path", file]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_cfn_lint_accepts_the_policies(tmp_path: Path) -> None:
    named = {f"policy-{number}": document for number, document in enumerate(POLICIES)}
    assert lint(template(tmp_path, named)) == []
