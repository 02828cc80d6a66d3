"""A model that attacks the container changes nothing but its own results, and is named."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cloudpickle
import pytest
from sklearn.linear_model import LinearRegression

from tests.unit.scoring.support.flight_data import make_flights
from tests.unit.scoring.support.job_folder import JobFolder, cloudpickle_saver, doubles, failure_reasons, joblib_saver
from tests.unit.scoring.support.separated import command_prefix, open_folder, why_not_separable


class Attacker:
    """Attacks in `predict`, and then predicts the first feature."""

    def __init__(self, attack: Callable[..., None], *arguments: Any) -> None:
        self.attack = attack
        self.arguments = arguments

    def predict(self, matrix: Any) -> Any:
        self.attack(int(matrix[0, 0]), *self.arguments)
        return matrix[:, 0]


@pytest.fixture
def separated(tmp_path: Path) -> Iterator[JobFolder]:
    if reason := why_not_separable():
        pytest.skip(reason)
    with open_folder() as folder:
        job = JobFolder(folder / "ml")
        job.paths.exit_message.parent.mkdir()
        job.command_prefix = command_prefix(folder)
        yield job


def add_attacker(job: JobFolder, attack: Callable[..., None], *arguments: Any, model_id: str = "evil") -> None:
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    job.add_model(model_id, cloudpickle_saver(Attacker(attack, *arguments)), features=doubles("flight_id"))


def try_everything(_: int, root: Path) -> None:
    """Write what each attempt led to into the log, one line each."""
    supervisor = os.getppid()
    processing = root / "processing"
    output = processing / "output"

    def write(path: Path) -> None:
        with path.open("ab") as file:
            file.write(b"attacked")

    def make(path: Path) -> None:
        path.mkdir(parents=True)

    attempts: dict[str, Callable[[], object]] = {
        "prediction": lambda: write(output / "predictions" / "forged.parquet"),
        "prediction of another": lambda: make(output / "predictions" / "model_id=good"),
        "segment": lambda: write(output / "ledger" / f"1-{'0' * 32}.jsonl"),
        "folder of the ledger": lambda: make(output / "ledger" / "good"),
        "new folder": lambda: make(output / "quarantine" / "new"),
        "exit message": lambda: write(root / "output" / "message"),
        "input data": lambda: write(processing / "input" / "data" / "flights" / "0.parquet"),
        "input folder": (processing / "input" / "data" / "flights" / "0.parquet").unlink,
        "spec": lambda: write(processing / "input" / "spec" / "job.json"),
        "archive": lambda: write(processing / "input" / "models" / "good" / "v1" / "model.tar.gz"),
        "artifact of another": lambda: write(output / ".unfinished" / "models" / "good" / "model.joblib"),
        "own artifact": lambda: write(output / ".unfinished" / "models" / "evil" / "model.joblib"),
        "code": lambda: write(Path(sys.modules["scoring"].__path__[0]) / "__init__.py"),
        "staging": lambda: list((output / ".unfinished" / "committing").iterdir()),
        "supervisor's environment": lambda: Path(f"/proc/{supervisor}/environ").read_bytes(),
        "supervisor's memory": lambda: Path(f"/proc/{supervisor}/mem").read_bytes(),
        "supervisor's descriptors": lambda: list(Path(f"/proc/{supervisor}/fd").iterdir()),
        "supervisor's life": lambda: os.kill(supervisor, signal.SIGKILL),
        "another user": lambda: os.setuid(0),
    }
    for name, attempt in attempts.items():
        try:
            attempt()
            outcome = "SUCCEEDED"
        except OSError as error:
            outcome = type(error).__name__
        sys.stderr.write(f"attempt: {name}: {outcome}\n")
    status = Path("/proc/self/status").read_text().split()
    secret = os.environ.get("AWS_SECRET_ACCESS_KEY", "none")
    facts = [status[status.index(f"{name}:") + 1] for name in ("CapEff", "NoNewPrivs", "Uid", "Gid")]
    home = Path.home()
    (home / "cache").write_text("a home that can be written")
    sys.stderr.write(f"facts: {facts} {os.getgroups()} {secret} {home == Path.cwd() == Path(os.environ['TMPDIR'])}\n")


def test_model_cannot_reach_anything_but_its_own_folder(separated: JobFolder) -> None:
    add_attacker(separated, try_everything, separated.paths.root)
    add_attacker(separated, lambda _: None, model_id="good")
    separated.add_object("0.parquet", make_flights(10, 0))
    separated.write_spec()
    # As SageMaker might create them: open to everybody, or closed to everybody else.
    separated.paths.predictions.chmod(0o777)
    (separated.objects_folder / "0.parquet").chmod(0o666)
    separated.paths.spec.chmod(0o600)
    separated.paths.data.chmod(0o700)
    before = {path: path.read_bytes() for path in separated.paths.root.rglob("*") if path.is_file()}

    ended = separated.run(AWS_SECRET_ACCESS_KEY="secret")

    assert ended.returncode == 0, f"{separated.message}\n{ended.stderr}"
    attempts = [line.split(": ") for line in ended.stderr.splitlines() if line.startswith("attempt: ")]
    assert len(attempts) == 19
    assert {outcome for _, _, outcome in attempts} == {"PermissionError"}, attempts
    assert "facts: ['0000000000000000', '1', '65530', '65530'] [] none True" in ended.stderr
    assert "workers_not_separated" not in ended.stdout
    assert {path: path.read_bytes() for path in before} == before
    assert sorted(separated.files()) == [
        "ledger/evil/0.parquet",
        "ledger/good/0.parquet",
        "predictions/model_id=evil/0.parquet",
        "predictions/model_id=good/0.parquet",
    ]
    for path in separated.paths.predictions.rglob("*.parquet"):
        assert (path.stat().st_uid, path.stat().st_mode & 0o777) == (os.geteuid(), 0o644)


def tamper(number: int, root: Path, kinds: list[str]) -> None:
    """Change files or messages of an object after it is written, in the worker's own process."""
    from scoring.protocol import WrittenFile, WrittenOutput, encode  # noqa: PLC0415
    from scoring.worker.task_runner import EventPipe  # noqa: PLC0415

    kind = kinds[number // 1_000_000]
    send = EventPipe.__dict__.get("honest_send", EventPipe.send)
    EventPipe.honest_send = send  # type: ignore[attr-defined]

    def link(path: Path, target: str) -> None:
        path.unlink()
        path.symlink_to(target)

    def hard_link(path: Path) -> None:
        os.link(path, path.parent.parent / "kept")

    def fifo(path: Path) -> None:
        path.unlink()
        os.mkfifo(path)

    def link_folder(path: Path) -> None:
        path.parent.rename(path.parent.parent / "moved")
        path.parent.symlink_to(root / "processing" / "input" / "data" / "flights")

    def shorten(path: Path) -> None:
        os.truncate(path, 10)

    files: dict[str, Callable[[Path], None]] = {
        "link": lambda path: link(path, "/etc/hostname"),
        "hard link": hard_link,
        "fifo": fifo,
        "folder link": link_folder,
        "size": shorten,
        "missing": Path.unlink,
        "link next to it": lambda path: (path.parent / "evil.commit").symlink_to(root / "output" / "message"),
    }

    def forged(pipe: Any, event: Any) -> None:
        described = {name: getattr(event, name) for name in event.__dataclass_fields__}
        (output,) = described["outputs"]
        fields = {name: getattr(output, name) for name in output.__dataclass_fields__}
        if kind in files:
            own = root / "processing" / "output" / ".unfinished" / "worker-0"
            files[kind](own / event.folder / "0-evil.parquet")
        changes: dict[str, dict[str, Any]] = {
            "rows": {"outputs": (WrittenOutput(**{**fields, "rows_in": 7}),)},
            "negative rows": {"outputs": (WrittenOutput(**{**fields, "rows_in": -1, "rows_scored": -1}),)},
            "model": {"outputs": (WrittenOutput(**{**fields, "model_id": "../../good"}),)},
            "digest": {"outputs": (WrittenOutput(**{**fields, "predictions": WrittenFile(1, "../x")}),)},
            "folder": {"folder": "../../models/evil"},
            "no output": {"outputs": ()},
            "two outputs": {"outputs": (output, output)},
            "endless": {"seconds": float("inf")},
            "half a character": {"outputs": (WrittenOutput(**{**fields, "notes": ("\ud800", "\x1b[2J")}),)},
            "key": {"key": "../../../../output/message"},
        }
        raw = {
            "garbage": b'{"type": "ObjectWritten", "body": [\n',
            "committed": b'{"type": "ObjectDone", "body": {"schema_version": 2, "key": "x", "rows": 1}}\n',
            "deep": b"[" * 100_000 + b"\n",
            "huge": b"x" * (17 << 20),
        }
        for name, change in changes.items():
            if kind == name:
                event = type(event)(**{**described, **change})
        if kind in raw:
            pipe._pipe.write(raw[kind])
            pipe._pipe.flush()
        assert encode
        send(pipe, event)

    EventPipe.send = forged  # type: ignore[method-assign]


FORGERIES = {
    "link": "'0-evil.parquet' is not a regular file but a link",
    "hard link": "'0-evil.parquet' has 2 names, expected one: it is a hard link",
    "fifo": "'0-evil.parquet' is not a regular file",
    "folder link": "its folder is missing or is not a folder",
    "size": "'0-evil.parquet' has 10 bytes, the worker reported",
    "missing": "'0-evil.parquet' is missing",
    "rows": "the rows that it read are not those that it scored",
    "negative rows": "an impossible number of rows",
    "model": "results of models that it did not have to score",
    "digest": "a file without a size and a SHA-256",
    "folder": "the name of its folder is not a number",
    "no output": "no result of 'evil', expected an output or a failure",
    "two outputs": "several results for one model",
    "honest": "",
    "half a character": "",
    "link next to it": "",
}
BREAKS_PIPE = ("key", "garbage", "committed", "deep", "endless", "huge")


def run_forgeries(job: JobFolder, kinds: list[str]) -> Any:
    add_attacker(job, tamper, job.paths.root, kinds)
    for number, kind in enumerate(kinds):
        job.add_object(f"{kind}.parquet", make_flights(10, number))
    job.write_spec()
    # With so many cores each object is a task of its own.
    return job.run("--workers", "1", "--cores", "32")


def tamper_with_group(_: int, root: Path) -> None:
    """Change what a message and a folder have of one object of a group."""
    from scoring.protocol import GroupWritten  # noqa: PLC0415
    from scoring.worker.task_runner import EventPipe  # noqa: PLC0415

    send = EventPipe.__dict__.get("honest_send", EventPipe.send)
    EventPipe.honest_send = send  # type: ignore[attr-defined]

    def forged(pipe: Any, event: Any) -> None:
        if isinstance(event, GroupWritten) and len(event.objects) == 4:
            folder = root / "processing" / "output" / ".unfinished" / "worker-0" / event.folder
            (folder / "1-evil.parquet").unlink()
            (folder / "1-evil.parquet").symlink_to("/etc/hostname")
            (output,) = event.objects[2].outputs
            wrong = replace(event.objects[2], outputs=(replace(output, rows_in=7),))
            event = replace(event, objects=(*event.objects[:2], wrong, *event.objects[3:]))
        send(pipe, event)

    EventPipe.send = forged  # type: ignore[method-assign]


def test_forgery_in_a_group_fails_its_object_and_no_neighbour(separated: JobFolder) -> None:
    add_attacker(separated, tamper_with_group, separated.paths.root)
    for number in range(8):
        separated.add_object(f"{number}.parquet", make_flights(10, 0))
    separated.write_spec()
    # The first group has half of the objects.
    ended = separated.run("--workers", "1", "--cores", "1")

    reasons = failure_reasons(ended)
    assert ended.returncode == 1
    assert len(reasons) == 2
    assert "'1-evil.parquet' is not a regular file but a link" in reasons["1.parquet"]
    assert "the rows that it read are not those that it scored" in reasons["2.parquet"]
    assert len(separated.committed()) == 6


@pytest.mark.parametrize("folder", ["separated", "job"])
def test_forged_files_and_results_fail_their_object_by_name(folder: str, request: pytest.FixtureRequest) -> None:
    """Also where the workers are not separated, because the same checks find mistakes."""
    job: JobFolder = request.getfixturevalue(folder)
    ended = run_forgeries(job, list(FORGERIES))

    reasons = failure_reasons(ended)
    for kind, words in FORGERIES.items():
        if words:
            assert words in reasons.pop(f"{kind}.parquet"), kind
    assert reasons == {}
    assert ended.returncode == 1
    assert job.message.startswith(f"MODEL: {len(FORGERIES) - 3} of {len(FORGERIES)} objects failed: object ")
    assert sorted(job.files()) == [
        "ledger/evil/half a character.parquet",
        "ledger/evil/honest.parquet",
        "ledger/evil/link next to it.parquet",
        "predictions/model_id=evil/half a character.parquet",
        "predictions/model_id=evil/honest.parquet",
        "predictions/model_id=evil/link next to it.parquet",
    ]


@pytest.mark.parametrize("kinds", [BREAKS_PIPE[:3], BREAKS_PIPE[3:]])
def test_forged_messages_fail_their_object_and_not_the_supervisor(separated: JobFolder, kinds: tuple[str, ...]) -> None:
    # Honest objects in between: the job ends after three losses in a row.
    ended = run_forgeries(separated, ["honest 0", kinds[0], "honest 1", kinds[1], "honest 2", kinds[2]])

    assert ended.returncode == 1
    reasons = failure_reasons(ended)
    assert sorted(reasons) == sorted(f"{kind}.parquet" for kind in kinds), ended.stderr
    assert all("a worker sent an invalid message while scoring" in reason for reason in reasons.values())
    assert separated.message.startswith("MODEL: 3 of 6 objects failed")
    assert len(separated.committed()) == 3


def test_job_whose_workers_cannot_be_separated_says_why_and_goes_on(job: JobFolder) -> None:
    job.add_model("good", joblib_saver(first_feature()), features=doubles("flight_id"))
    job.add_object("0.parquet", make_flights(10, 0))
    job.write_spec()
    # Nobody but the owner can enter the folders of pytest.
    (event,) = [event for event in job.score() if event["event"] == "workers_not_separated"]
    assert any(words in event["reason"] for words in ("other users cannot enter /", "not as root", "need Linux"))
    assert event["consequence"] == "code in artifacts can change this job's files; the job goes on"


def leave_daemon(_: int) -> None:
    """Leave a process that has left its group and waits to be killed."""
    if os.fork():
        return
    os.setsid()
    if os.fork():
        os._exit(0)
    sys.stderr.write(f"daemon: {os.getpid()}\n")
    os.closerange(0, 100)
    signal.pause()


def test_no_process_of_a_model_outlives_the_job(separated: JobFolder) -> None:
    add_attacker(separated, leave_daemon)
    separated.add_object("0.parquet", make_flights(10, 0))
    separated.write_spec()

    ended = separated.run()

    assert ended.returncode == 0, ended.stderr
    (daemon,) = [int(line.split()[1]) for line in ended.stderr.splitlines() if line.startswith("daemon: ")]
    with pytest.raises(ProcessLookupError):
        os.kill(daemon, 0)


def test_models_of_a_separated_job_give_the_same_bytes(separated: JobFolder, tmp_path: Path) -> None:
    jobs = [separated, JobFolder(tmp_path / "ml")]
    for job in jobs:
        job.add_model("good", joblib_saver(first_feature()), features=doubles("flight_id"))
        for seed in range(3):
            job.add_object(f"{seed}.parquet", make_flights(500, seed), row_group_size=100)
        job.write_spec(batch_rows=70)
        job.score("--cores", "2")
    assert jobs[0].files() == jobs[1].files()


def first_feature() -> Any:
    frame = make_flights(50, 9)[["flight_id"]]
    return LinearRegression().fit(frame, frame["flight_id"])
