"""The synthesized app, once a session for each set of settings: a synthesis takes seconds."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app import build_app
from tests.unit.infra.assembly import Assembly

ROOT = Path(__file__).resolve().parents[3]

Synthesize = Callable[..., Assembly]


@pytest.fixture(scope="session")
def synthesize(tmp_path_factory: pytest.TempPathFactory) -> Synthesize:
    """Synthesize with settings replaced, as `-c fleetscore.<name>=<value>` does; nag findings raise."""

    def synthesized(**overrides: Any) -> Assembly:
        directory = tmp_path_factory.mktemp("assembly")
        context = {f"fleetscore.{name}": value for name, value in overrides.items()}
        build_app(context=context, outdir=directory).synth()
        return Assembly(str(overrides.get("stage", "dev")), directory)

    return synthesized


@pytest.fixture(scope="session")
def assembly(tmp_path_factory: pytest.TempPathFactory) -> Assembly:
    """The app with cdk.json's own settings, as a user without credentials, git or any setup would synthesize it."""
    home = tmp_path_factory.mktemp("home")
    environment = {
        "PATH": str(_folder_of_node()),
        "HOME": str(home),
        "CDK_OUTDIR": str(home / "out"),
        "AWS_EC2_METADATA_DISABLED": "true",
        "LANG": "C.UTF-8",
    }
    command = [sys.executable, str(ROOT / "app.py")]
    done = subprocess.run(command, cwd=home, env=environment, capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode == 0, done.stderr[-2_000:]
    return Assembly("dev", home / "out")


def _folder_of_node() -> Path:
    found = shutil.which("node")
    assert found, "node is not on the PATH: `make` puts it there"
    return Path(found).parent


@pytest.fixture(scope="session")
def variants(synthesize: Synthesize) -> Assembly:
    """A stage with every image variant, for GPUs, one of them named."""
    return synthesize(
        stage="variants",
        image_variants=["core", "tensorflow", "pytorch"],
        image_accelerator="gpu",
        image_uris={"pytorch": "210987654321.dkr.ecr.eu-central-1.amazonaws.com/torch:2.13"},
    )


@pytest.fixture(scope="session")
def other(synthesize: Synthesize) -> Assembly:
    """Another stage, with every optional setting set."""
    return synthesize(
        stage="prod",
        account="123456789012",
        region="eu-central-1",
        removal="destroy",
        image_uri="210987654321.dkr.ecr.eu-central-1.amazonaws.com/scoring:1.0.0",
        vpc={"subnet_ids": ["subnet-0123456789abcdef0"], "security_group_ids": ["sg-0123456789abcdef0"]},
        predictions_expiry_days=30,
        executions_expiry_days=365,
    )
