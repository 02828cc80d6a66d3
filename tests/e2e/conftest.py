"""A stage in the embedded AWS that all end-to-end tests share."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from embedded.cdk.deploy import deploy
from embedded.cdk.synth import synthesize
from embedded.ministack.functions.fork_server import share_models
from embedded.requests.violations import LOG_VARIABLE
from embedded.server.embedded_aws import EmbeddedAws
from tests.e2e.recording import SessionRecorder, record_policies, recording_folder
from tests.e2e.stage import Stage, environment, find_stage
from tests.e2e.violations import Violations
from tests.made_once import made_once

share_models()

ROOT = Path(__file__).parents[2]

WINDOW_SECONDS = 2
UPLOADS = [
    {
        "dataset": "by-window",
        "mode": "window",
        "window_seconds": WINDOW_SECONDS,
        "request": {"execution_label": "by window"},
    },
    {"dataset": "by-marker", "mode": "marker"},
]

# The files that take longest, in this order: no worker is left alone with one of them at the end.
SLOW_FILES = (
    "scoring/test_spot.py",
    "clients/test_cdk_cli.py",
    "triggers/test_backfill.py",
    "scoring/test_resume.py",
    "models/test_training.py",
    "clients/test_command.py",
    "extend/test_batch.py",
    "scoring/test_capacity.py",
    "triggers/test_events.py",
    "reliability/test_audit.py",
    "scoring/test_changed_outputs.py",
    "clients/test_documented_clients.py",
    "triggers/test_uploads.py",
    "scoring/test_tables.py",
    "faults/test_clocks.py",
    "scoring/test_fleets.py",
    "extend/test_orchestration.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the slow files. `make test` keeps this order: --no-loadscope-reorder."""
    folder = Path(__file__).parent
    ranks = {folder / name: rank for rank, name in enumerate(SLOW_FILES)}
    items.sort(key=lambda item: ranks.get(item.path, len(ranks)))


def pytest_configure(config: pytest.Config) -> None:
    folder = recording_folder()
    # Workers of pytest-xdist report to the process that started them.
    if folder is not None and not hasattr(config, "workerinput"):
        config.pluginmanager.register(SessionRecorder(folder))


@pytest.fixture(scope="session", autouse=True)
def _patience() -> Iterator[None]:
    """Let `watch`, and commands that wait, await final records longer than for users: test machines are busy."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cli.views.executions.progress._SECONDS_TO_CLOSE", 180.0)
        yield


@pytest.fixture(scope="session")
def assembly(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Synthesize the stage `dev` once per run."""
    # The embedded AWS takes any number of requests per second.
    context = {"fleetscore.uploads": UPLOADS, "fleetscore.job_starts_per_second": 100}
    return made_once(tmp_path_factory, "cdk.out", lambda folder: synthesize(ROOT / "app.py", folder, context))


@pytest.fixture(scope="session")
def violations(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Violations]:
    """Have every embedded AWS of these tests check the requests of all clients, commands and functions."""
    log = tmp_path_factory.mktemp("violations") / "log"
    with environment({LOG_VARIABLE: str(log)}):
        yield Violations(log)


@pytest.fixture(autouse=True)
def _requests_are_valid(violations: Violations) -> Iterator[None]:
    """Fail a test during which a request violated botocore's model of its service."""
    yield
    if found := violations.take():
        pytest.fail("AWS would refuse requests that were made during this test:\n" + "\n".join(found))


@pytest.fixture(scope="session")
def stage(assembly: Path, tmp_path_factory: pytest.TempPathFactory, violations: Violations) -> Iterator[Stage]:
    """Yield a stage deployed from the synthesized templates, with waits 100 times shorter."""
    folder = tmp_path_factory.mktemp("stage")
    shared = folder / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    with EmbeddedAws(time_scale=0.01, shared_folder=shared, call_recording=recording_folder()) as aws:
        deploy(assembly, aws.endpoint, aws.images)
        record_policies(aws.endpoint)
        with environment(aws.endpoint.environment()):
            yield find_stage(aws, folder)


@pytest.fixture
def shared_folder(stage: Stage) -> Path:
    """Return an empty folder that the test and its jobs see and may change."""
    assert stage.aws.shared_folder is not None
    folder = stage.aws.shared_folder / uuid.uuid4().hex
    folder.mkdir()
    folder.chmod(0o777)
    return folder
