"""The synthesized app, once per run and set of settings, because a synthesis takes seconds."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app import build_app
from tests.made_once import made_once
from tests.unit.infra.assembly import Assembly

ROOT = Path(__file__).resolve().parents[3]

UPLOADS = [
    {"dataset": "orders", "mode": "window", "window_seconds": 300, "request": {"max_concurrency": 5}},
    {"dataset": "flights", "mode": "marker"},
]
SCHEDULES: list[dict[str, Any]] = [
    {"name": "nightly", "expression": "cron(30 2 * * ? *)", "time_zone": "Europe/Berlin", "request": {"models": ["a"]}},
    {"name": "hourly", "expression": "rate(1 hour)", "flexible_window_minutes": 15, "enabled": False},
]

Synthesize = Callable[..., Assembly]


@pytest.fixture(scope="session")
def synthesize(tmp_path_factory: pytest.TempPathFactory) -> Synthesize:
    """Synthesize with overrides, as `-c fleetscore.<name>=<value>` does; cdk-nag findings raise."""

    def synthesized(**overrides: Any) -> Assembly:
        context = {f"fleetscore.{name}": value for name, value in overrides.items()}
        key = hashlib.sha256(json.dumps(context, sort_keys=True).encode()).hexdigest()[:16]
        directory = made_once(
            tmp_path_factory, f"assembly-{key}", lambda folder: build_app(context=context, outdir=folder).synth()
        )
        return Assembly(str(overrides.get("stage", "dev")), directory)

    return synthesized


@pytest.fixture(scope="session")
def assembly(synthesize: Synthesize) -> Assembly:
    """The app with the settings of cdk.json."""
    return synthesize()


@pytest.fixture(scope="session")
def bare_assembly(tmp_path_factory: pytest.TempPathFactory) -> Assembly:
    """The same app, from a process without credentials, git, or any set-up of the user's."""
    home = tmp_path_factory.mktemp("home")
    environment = {
        "PATH": str(_node_folder()),
        "HOME": str(home),
        "CDK_OUTDIR": str(home / "out"),
        "CDK_VALIDATION": "false",
        "JSII_RUNTIME_PACKAGE_CACHE_ROOT": os.environ["JSII_RUNTIME_PACKAGE_CACHE_ROOT"],
        "AWS_EC2_METADATA_DISABLED": "true",
        "LANG": "C.UTF-8",
    }
    command = [sys.executable, str(ROOT / "app.py")]
    ended = subprocess.run(command, cwd=home, env=environment, capture_output=True, text=True, timeout=180, check=False)
    assert ended.returncode == 0, ended.stderr[-2_000:]
    return Assembly("dev", home / "out")


def _node_folder() -> Path:
    found = shutil.which("node")
    assert found, "node is not on the PATH: `make` puts it there"
    return Path(found).parent


@pytest.fixture(scope="session")
def automated(synthesize: Synthesize) -> Assembly:
    """A stage with schedules and upload rules."""
    return synthesize(uploads=UPLOADS, schedules=SCHEDULES)


@pytest.fixture(scope="session")
def variants(synthesize: Synthesize) -> Assembly:
    """A stage with every image variant for GPUs; a setting names one of the images."""
    return synthesize(
        stage="variants",
        image_variants=["core", "tensorflow", "pytorch"],
        image_accelerator="gpu",
        image_uris={"pytorch": "210987654321.dkr.ecr.eu-central-1.amazonaws.com/torch:2.13"},
    )


@pytest.fixture(scope="session")
def prod(synthesize: Synthesize) -> Assembly:
    """A second stage, with every optional setting set."""
    return synthesize(
        stage="prod",
        account="123456789012",
        region="eu-central-1",
        removal="destroy",
        image_uri="210987654321.dkr.ecr.eu-central-1.amazonaws.com/scoring:1.0.0",
        vpc={"subnet_ids": ["subnet-0123456789abcdef0"], "security_group_ids": ["sg-0123456789abcdef0"]},
        execution_days=30,
        predictions_expiry_days=30,
        executions_expiry_days=365,
    )
