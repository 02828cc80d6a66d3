"""A training script that attacks the container changes nothing but its own model, and is named."""

import os
from collections.abc import Iterator
from typing import Any

import pytest

from tests.unit.scoring.support.separated import command_prefix, open_folder, why_not_separable
from tests.unit.training.training_folder import SCRIPT, TrainingFolder, numbers_frame

FOLDERS = """
import os, sys, time
from pathlib import Path

model_folder = Path(os.environ["SM_MODEL_DIR"])
root = model_folder.parent
"""
HONEST = f"""{FOLDERS}
import joblib, numpy
from sklearn.linear_model import LinearRegression

model = LinearRegression().fit(numpy.eye(3), numpy.arange(3))
joblib.dump(model, model_folder / "model.joblib")
"""


def prepared(job: TrainingFolder) -> TrainingFolder:
    job.add_object("a.parquet", numbers_frame(50, 1).dropna())
    job.write_spec(**SCRIPT)
    return job


@pytest.fixture
def together(job: TrainingFolder) -> TrainingFolder:
    """A job whose script cannot be separated, because pytest's folders are closed to other users."""
    return prepared(job)


@pytest.fixture
def separated() -> Iterator[TrainingFolder]:
    if reason := why_not_separable():
        pytest.skip(reason)
    with open_folder() as folder:
        job = prepared(TrainingFolder(folder / "ml"))
        job.command_prefix = command_prefix(folder)
        yield job


def run_script(job: TrainingFolder, text: str, start: str = HONEST) -> Any:
    job.add_code({"train.py": start + text})
    return job.run()


ATTEMPTS = """
supervisor = os.getppid()
def write(path):
    with path.open("ab") as file:
        file.write(b"attacked")
attempts = {
    "input data": lambda: write(root / "input" / "data" / "train" / "a.parquet"),
    "spec": lambda: write(root / "input" / "data" / "spec" / "training.json"),
    "code channel": lambda: write(root / "input" / "data" / "code" / "sourcedir.tar.gz"),
    "hyperparameters": lambda: write(root / "input" / "config" / "hyperparameters.json"),
    "output": lambda: write(root / "output" / "forged"),
    "failure": lambda: (root / "output" / "failure").unlink(),
    "container's code": lambda: write(Path(sys.argv[0]).resolve().parents[2] / "forged"),
    "environment": lambda: Path(f"/proc/{supervisor}/environ").read_bytes(),
    "memory": lambda: Path(f"/proc/{supervisor}/mem").read_bytes(),
    "supervisor": lambda: os.kill(supervisor, 9),
    "root": lambda: os.setuid(0),
}
for name, attempt in attempts.items():
    try:
        attempt()
        outcome = "SUCCEEDED"
    except OSError as error:
        outcome = type(error).__name__
    print(f"attempt: {name}: {outcome}", file=sys.stderr)
(model_folder / "fleetscore.json").symlink_to(root / "input" / "config" / "resourceconfig.json")
(root / "output" / "failure").write_text("DATA: forged")
(root / "output" / "data" / "link").symlink_to("/etc/hostname")
(root / "output" / "data" / "kept.txt").write_text("kept")
(root / "checkpoints" / "kept.txt").write_text("kept")
Path("relative.txt").write_text(str(Path.home()))
"""


def test_script_can_write_only_its_own_folders(separated: TrainingFolder) -> None:
    separated.folders["train"].chmod(0o777)
    separated.paths.spec.chmod(0o600)
    separated.paths.resource_config.chmod(0o666)
    separated.add_code({"train.py": HONEST + ATTEMPTS})
    inputs = separated.paths.root / "input"
    before = {path: path.read_bytes() for path in inputs.rglob("*") if path.is_file()}

    ended = separated.run()

    assert ended.returncode == 0, f"{separated.failure}\n{ended.stderr}"
    attempts = [line.split(": ") for line in ended.stdout.splitlines() if line.startswith("attempt: ")]
    assert len(attempts) == 11
    assert {outcome for _, _, outcome in attempts} == {"PermissionError"}, attempts
    assert {path: path.read_bytes() for path in before} == before
    assert separated.report.model_id == "late"
    assert not separated.paths.report.is_symlink()
    assert not separated.paths.failure.exists()
    assert [path.name for path in separated.paths.output_data.iterdir()] == ["kept.txt"]
    assert (separated.paths.checkpoints / "kept.txt").read_text() == "kept"
    for path in separated.paths.model.rglob("*"):
        assert (path.stat().st_uid, path.stat().st_mode & 0o777) == (os.geteuid(), 0o644), path
    assert "workers_not_separated" not in ended.stdout


def test_a_script_that_cannot_be_separated_is_reported_in_the_log(together: TrainingFolder) -> None:
    # The script writes no model, because honest ones take seconds to import scikit-learn.
    ended = run_script(together, "", start=FOLDERS)
    assert '"event": "workers_not_separated", "reason": "' in ended.stdout
    assert "the training script can change all files of this job" in ended.stdout


DAEMON = """
if not os.fork():
    os.setsid()
    if os.fork():
        os._exit(0)
    print(f"daemon: {os.getpid()}", file=sys.stderr, flush=True)
    report = model_folder / "fleetscore.json"
    while not report.exists():
        time.sleep(0.001)
    (model_folder / "model.joblib").write_bytes(b"exchanged")
    report.write_bytes(b"forged")
"""


@pytest.mark.parametrize("folder", ["separated", "together"])
def test_no_process_of_a_script_outlives_it(folder: str, request: pytest.FixtureRequest) -> None:
    job: TrainingFolder = request.getfixturevalue(folder)
    ended = run_script(job, DAEMON)
    assert ended.returncode == 0, f"{job.failure}\n{ended.stderr}"
    (daemon,) = [int(line.split()[1]) for line in ended.stdout.splitlines() if line.startswith("daemon: ")]
    with pytest.raises(ProcessLookupError):
        os.kill(daemon, 0)
    assert job.report.model_bytes == len(job.model) > 100


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ('(model_folder / "secret").symlink_to("/etc/hostname")', "secret"),
        ('(model_folder / "a").mkdir(); (model_folder / "a" / "up").symlink_to("../..")', "a/up"),
        ('(model_folder / "a").touch(); os.link(model_folder / "a", model_folder / "b")', ""),
        ('os.mkfifo(model_folder / "pipe")', "pipe"),
    ],
)
def test_links_in_the_model_folder_are_refused_by_name(together: TrainingFolder, text: str, name: str) -> None:
    ended = run_script(together, text, start=FOLDERS)
    assert ended.returncode == 1
    assert together.failure.startswith(f"MODEL: the training script left '{name}")
    assert "in SM_MODEL_DIR, which is a link or a special file" in together.failure
    assert not together.paths.report.exists()


ATTACK_ON_LOADING = """
class Attack:
    def __reduce__(self):
        code = (
            "import os, signal, sys\\n"
            f"for path in ({str(root / 'model' / 'fleetscore.json')!r}, {str(root / 'output' / 'failure')!r}):\\n"
            "    try: open(path, 'w').write('forged')\\n"
            "    except OSError as error: sys.stderr.write(f'attempt: {type(error).__name__}\\\\n')\\n"
            "try: os.kill(os.getppid(), signal.SIGKILL)\\n"
            "except OSError as error: sys.stderr.write(f'attempt: {type(error).__name__}\\\\n')\\n"
        )
        return exec, (code,)
joblib.dump(Attack(), model_folder / "model.joblib")
"""


def test_model_that_attacks_when_it_is_loaded_reaches_nothing(separated: TrainingFolder) -> None:
    ended = run_script(separated, ATTACK_ON_LOADING)
    assert ended.returncode == 1
    assert ended.stdout.count("attempt: PermissionError") == 3, ended.stdout
    assert separated.failure.startswith("MODEL: model 'late': its NoneType has no predict")
    assert not separated.paths.report.exists()


def test_output_without_line_ends_and_a_forged_failure_stay_bounded(together: TrainingFolder) -> None:
    text = """
for _ in range(64):
    sys.stderr.write("x" * (128 << 10))
(root / "output" / "failure").write_text("DATA: " + "y" * (4 << 20))
sys.exit(3)
"""
    ended = run_script(together, text, start=FOLDERS)
    assert ended.returncode == 1
    assert together.failure.startswith("DATA: the training script 'train.py' ended with exit code 3")
    assert len(together.failure) < 1_025
    assert len(ended.stdout) + len(ended.stderr) < 9 << 20
