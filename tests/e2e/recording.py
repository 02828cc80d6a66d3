"""The recording of a run of the end-to-end tests: `make verify-aws` compares its calls with the roles' policies.

The folder that AWS_CALL_RECORDING names gets a file with calls per embedded AWS, a file with the
policies per deployed stage, and at the end one file that says which tests have passed.
"""

import hashlib
import json
import os
import secrets
from pathlib import Path
from typing import Any

import pytest

from embedded.server.endpoint import Endpoint

ROOT = Path(__file__).parents[2]
SESSION_FILE = "session.json"
SOURCES = ("app.py", "cdk.json", "contract", "infra", "lambdas", "embedded", "tests/e2e", "inference_container")
"""What decides which calls are made and granted."""


def recording_folder() -> Path | None:
    """Return the folder of the recording, or None if there is to be none."""
    folder = os.environ.get("AWS_CALL_RECORDING")
    return Path(folder) if folder else None


def record_policies(endpoint: Endpoint) -> None:
    """Write the policies of the deployed stage's roles, before a test changes one."""
    folder = recording_folder()
    if folder is None:
        return
    cloudformation, iam = endpoint.client("cloudformation"), endpoint.client("iam")
    roles: dict[str, Any] = {}
    for stack in ("storage", "compute", "workflow", "triggers"):
        found = cloudformation.describe_stack_resources(StackName=f"fleetscore-dev-{stack}")["StackResources"]
        for resource in found:
            if resource["ResourceType"] != "AWS::IAM::Role":
                continue
            name = resource["PhysicalResourceId"]
            names = iam.list_role_policies(RoleName=name)["PolicyNames"]
            documents = [iam.get_role_policy(RoleName=name, PolicyName=one)["PolicyDocument"] for one in names]
            statements = [statement for document in documents for statement in document["Statement"]]
            roles[name] = {"logical_id": resource["LogicalResourceId"], "statements": statements}
    (folder / f"policies-{secrets.token_hex(8)}.json").write_text(json.dumps(roles), encoding="utf-8")


def sources_digest() -> str:
    """Return a digest of the sources, by which a recording of other sources is recognized."""
    digest = hashlib.sha256()
    for name in SOURCES:
        path = ROOT / name
        files = sorted(path.rglob("*.py")) if path.is_dir() else [path]
        for file in files:
            digest.update(str(file.relative_to(ROOT)).encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()


class SessionRecorder:
    """Notes the files whose tests have passed, in the process that gets the reports of all tests."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._digest = sources_digest()
        self._passed: set[str] = set()
        self._failed: set[str] = set()
        self._skipped: set[str] = set()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        name = report.nodeid.partition("::")[0]
        if not name.startswith("tests/e2e/"):
            return
        if report.failed:
            self._failed.add(report.nodeid)
        elif report.skipped:
            # Its file counts: the test needs something that this machine lacks.
            self._skipped.add(report.nodeid)
            self._passed.add(name)
        elif report.when == "call":
            self._passed.add(name)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        options = session.config.option
        selected = bool(options.keyword or options.markexpr or any("::" in name for name in session.config.args))
        content = {
            "digest": self._digest,
            "files": sorted(self._passed),
            "failed": sorted(self._failed),
            "skipped": sorted(self._skipped),
            "selected": selected,
        }
        self._folder.mkdir(parents=True, exist_ok=True)
        (self._folder / SESSION_FILE).write_text(json.dumps(content, indent=2), encoding="utf-8")
