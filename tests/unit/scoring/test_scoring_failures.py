"""Failures of a job: it reports the reason, keeps good results and leaves no half-written file."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import xgboost

from contract.catalog.model_fields import Feature
from contract.job.scoring_spec import PinnedObject
from tests.unit.scoring.support.flight_data import make_flights
from tests.unit.scoring.support.job_folder import (
    DEADLINE_SECONDS,
    JobFolder,
    cloudpickle_saver,
    doubles,
    failure_reasons,
    joblib_saver,
    parquet_bytes,
)

FEATURES = doubles("distance", "hour")


@pytest.fixture(scope="module")
def booster(training: pd.DataFrame) -> xgboost.Booster:
    data = xgboost.DMatrix(training[["distance", "hour"]].astype("float64"), label=training["late"])
    return xgboost.train({"max_depth": 2, "nthread": 1}, data, num_boost_round=2)


def add_booster(
    job: JobFolder, booster: xgboost.Booster, features: Sequence[Feature] = FEATURES, **fields: Any
) -> None:
    options = {"file": "model.json", "declared": "xgboost-json"}
    job.add_model("good", booster.save_model, features=features, **options, **fields)


def add_code(job: JobFolder, code: Callable[[Any], Any], model_id: str = "code") -> None:
    """Add a model whose predict is `code`; its only feature is flight_id."""

    # By value, because the scoring process cannot import this module.
    cloudpickle.register_pickle_by_value(sys.modules[__name__])

    class Code:
        def predict(self, matrix: Any) -> Any:
            return code(matrix)

    job.add_model(model_id, cloudpickle_saver(Code()), features=doubles("flight_id"))


def wait_for(condition: Callable[[], object], process: "subprocess.Popen[str] | None" = None) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "condition not met in time"
        assert process is None or process.poll() is None, process.communicate()
        time.sleep(0.01)


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def test_good_objects_are_committed_despite_corrupt_ones(job: JobFolder, booster: xgboost.Booster) -> None:
    add_booster(job, booster)
    good = pa.Table.from_pandas(make_flights(2_000, 1))
    content = parquet_bytes(good, row_group_size=100)
    damaged = content[:4_000] + bytes(len(content) - 8_000) + content[-4_000:]
    job.add_object("good.parquet", content)
    job.add_object("truncated.parquet", content[: len(content) // 2])
    job.add_object("text.parquet", b"this is not Parquet at all")
    job.add_object("damaged.parquet", damaged)
    job.add_object("also_good.parquet", good)
    job.write_spec(batch_rows=100)

    ended = job.run()

    assert ended.returncode == 1
    assert job.message.startswith("DATA: 3 of 5 objects failed: object 'damaged.parquet' cannot be read as Parquet")
    assert "'text.parquet'" in job.message
    assert "Traceback" in ended.stderr
    keys = {"good.parquet", "also_good.parquet"}
    assert set(job.files()) == {
        path.relative_to(job.paths.predictions.parent).as_posix()
        for key in keys
        for path in (job.output_path("good", key), job.paths.ledger / "good" / key)
    }


def test_unsuitable_feature_columns_are_data_errors(job: JobFolder, booster: xgboost.Booster) -> None:
    features = [Feature("distance", "double"), Feature("hour", "double", nullable=False)]
    add_booster(job, booster, features)
    table = pa.Table.from_pandas(make_flights(10, 1)).drop_columns(["hour"])
    columns = {
        "missing": (None, "feature column 'hour' of type double is missing"),
        "text": (pa.array(["1"] * 10), "feature column 'hour' is of type string, the record says double"),
        "huge": (pa.array([2**53 + 1] * 10), "column 'hour' of type int64 has a value that double cannot hold"),
        "null": (pa.array([1.0] * 9 + [None]), "'hour' has 1 nulls, the record says that it has none"),
    }
    for name, (column, _) in columns.items():
        job.add_object(f"{name}.parquet", table if column is None else table.append_column("hour", column))
    job.add_object("good.parquet", make_flights(10, 1))
    job.write_spec()

    ended = job.run()

    assert ended.returncode == 1
    assert job.message.startswith("DATA: 4 of 5 objects failed: object 'huge.parquet'")
    reasons = failure_reasons(ended)
    assert set(reasons) == {f"{name}.parquet" for name in columns}
    for name, (_, reason) in columns.items():
        assert reason in reasons[f"{name}.parquet"]
    assert job.commit("good", "good.parquet").rows_scored == 10


def test_replaced_object_is_refused_and_unknown_file_ignored(job: JobFolder, booster: xgboost.Booster) -> None:
    add_booster(job, booster)
    job.add_object("good.parquet", make_flights(10, 1))
    job.add_object("replaced.parquet", make_flights(10, 1))
    job.add_object("unknown.parquet", make_flights(10, 1))
    job.objects = [job.objects[0], PinnedObject("replaced.parquet", 7, "old")]
    job.write_spec()

    ended = job.run()

    assert ended.returncode == 1
    assert job.message.startswith("DATA: 1 of 2 objects failed: object 'replaced.parquet' has")
    assert '"event": "file_ignored", "file": "flights/unknown.parquet"' in ended.stdout
    assert job.committed() == {("good", "good.parquet")}
    assert job.commit("good", "good.parquet").rows_scored == 10


def test_files_in_an_unknown_layout_are_a_configuration_failure(job: JobFolder, booster: xgboost.Booster) -> None:
    add_booster(job, booster)
    job.add_object("good.parquet", make_flights(10, 1))
    job.write_spec()
    job.objects_folder.rename(job.paths.data / "bucket")

    ended = job.run()

    assert ended.returncode == 1
    assert job.message.startswith("CONFIGURATION: input 'data' has 1 files, none of which the job expects: it has ")
    assert "'bucket/good.parquet', expected files such as 'flights/good.parquet'" in job.message
    assert not job.files()


def test_wrong_digest_is_refused_before_the_artifact_is_opened(job: JobFolder, tmp_path: Path) -> None:
    opened = tmp_path / "opened"

    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (opened,))

    spec = job.add_model("trap", joblib_saver(Trap()), features=doubles("hour"))
    artifact = job.paths.models / "trap" / "v1" / "model.tar.gz"
    content = bytearray(artifact.read_bytes())
    content[4] ^= 1  # the time in the gzip header: still an archive that opens
    artifact.write_bytes(content)
    job.add_object("a.parquet", make_flights(10, 1))
    job.write_spec()

    assert job.run().returncode == 1

    assert job.message.startswith("MODEL: model 'trap' version 'v1': its artifact has SHA-256")
    assert spec.artifact_sha256 in job.message
    assert not opened.exists()
    assert job.files() == {}


def test_a_failure_of_several_objects_is_reported_once(job: JobFolder) -> None:
    def fail(_: Any) -> Any:
        raise RuntimeError("no such leaf")

    add_code(job, fail)
    for rows, key in enumerate(("b.parquet", "a.parquet", "c.parquet"), 10):
        job.add_object(key, make_flights(rows, 1))
    job.write_spec()
    assert job.run().returncode == 1
    start = "MODEL: 3 of 3 objects failed: object 'a.parquet' and 2 more, model 'code': row 0 cannot be scored: its"
    assert job.message.startswith(start)
    assert job.message.count("cannot be scored") == 1
    assert "; at least 1 of 11 rows are bad: correct the model" in job.message


def test_failing_model_does_not_affect_other_models(job: JobFolder, booster: xgboost.Booster) -> None:
    def fail(_: Any) -> Any:
        raise RuntimeError("no such leaf")

    add_booster(job, booster)
    add_code(job, fail)
    job.add_object("a.parquet", make_flights(10, 1))
    job.write_spec()

    assert job.run().returncode == 1

    assert re.sub(r"py:\d+", "py:N", job.message) == (
        "MODEL: 1 of 1 objects failed: object 'a.parquet', model 'code': row 0 cannot be scored: its predict failed "
        "for this row (RuntimeError at test_scoring_failures.py:N); at least 1 of 10 rows are bad: correct the model "
        "or its record, or set tolerated_quarantine_fraction to quarantine such rows; its text is in the job's log"
    )
    assert job.commit("good", "a.parquet").rows_scored == 10
    assert job.committed() == {("good", "a.parquet")}


def leave(_: Any) -> Any:
    raise SystemExit(0)


def too_few(matrix: Any) -> Any:
    return matrix[:-1, 0]


def not_a_number(matrix: Any) -> Any:
    return np.where(matrix[:, 0] == 1_000_004, np.nan, 1.0)


def end_process(_: Any) -> Any:
    os._exit(0)


def crash(_: Any) -> Any:
    signal.raise_signal(signal.SIGSEGV)  # ends this thread at once; os.kill may let it go on for a moment


def test_misbehaving_models_are_explained(job: JobFolder) -> None:
    add_code(job, leave, "leave")
    add_code(job, too_few, "too_few")
    add_code(job, not_a_number, "not_a_number")
    job.add_object("a.parquet", make_flights(10, 1))
    job.write_spec()

    assert job.run().returncode == 1

    assert job.message.startswith("MODEL: ")
    exited = "model 'leave': row 0 cannot be scored: its predict failed for this row (SystemExit at test_scoring_"
    assert exited in job.message
    assert "model 'too_few': predict gave predictions of shape 9 for 10 rows" in job.message
    assert "model 'not_a_number': row 4 cannot be scored: gave no prediction (NaN) in column 'prediction'" in (
        job.message
    )
    assert job.files() == {}


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (end_process, "a model crashed its worker process (exit code 0) while scoring object 'a.parquet'"),
        (crash, "a model crashed its worker process (SIGSEGV) while scoring object 'a.parquet'"),
    ],
)
def test_model_that_ends_its_worker_is_explained(job: JobFolder, code: Callable[[Any], Any], expected: str) -> None:
    add_code(job, code)
    job.add_object("a.parquet", make_flights(10, 1))
    job.write_spec()

    assert job.run().returncode == 1

    assert job.message.startswith("MODEL: ")
    assert expected in job.message
    assert job.files() == {}


def test_model_that_prints_does_not_disturb_the_protocol(job: JobFolder) -> None:
    """The model prints a little, reads stdin, and prints megabytes, which fill a pipe."""

    def chatter(matrix: Any) -> Any:
        print("hello", input() if False else "", flush=True)
        os.write(1, b"raw words\n")
        for _ in range(200):
            sys.stdout.write("x" * 20_000 + "\n")
            os.write(1, b"y" * 20_000)
        return matrix[:, 0]

    add_code(job, chatter)
    job.add_object("a.parquet", make_flights(10, 1))
    job.write_spec()

    ended = job.run()

    assert ended.returncode == 0, job.message
    events = [json.loads(line)["event"] for line in ended.stdout.splitlines()]
    assert [event for event in events if event != "workers_not_separated"] == ["object_scored", "shard_ended"]
    assert "raw words" in ended.stderr
    assert "raw words" not in ended.stdout


def test_prediction_column_named_as_an_input_is_a_configuration_error(job: JobFolder, booster: xgboost.Booster) -> None:
    add_booster(job, booster, output_columns=("late",))
    job.add_object("a.parquet", make_flights(10, 1))
    job.write_spec()

    assert job.run().returncode == 1

    assert job.message.startswith("CONFIGURATION: 1 of 1 objects failed: object 'a.parquet', model 'good': the")
    assert "['late'] are also input columns" in job.message


def test_wrong_features_are_found_before_any_row_is_read(job: JobFolder, booster: xgboost.Booster) -> None:
    add_booster(job, booster, doubles("hour", "distance"))
    job.add_object("a.parquet", b"not read at all")
    job.write_spec()

    assert job.run().returncode == 1

    assert job.message.startswith("MODEL: model 'good': the features in its record are not those")
    assert "position 0 is 'hour' in the record and 'distance' in the model" in job.message


def test_a_replaced_or_missing_snapshot_is_refused(job: JobFolder, booster: xgboost.Booster) -> None:
    add_booster(job, booster)
    job.add_object("a.parquet", make_flights(1, 1))
    expected = job.write_spec().snapshot.sha256
    text = job.paths.snapshot.read_bytes()
    job.paths.snapshot.write_bytes(text.replace(b"etag", b"gate"))
    assert job.run().returncode == 1
    assert job.message.startswith(f"CONFIGURATION: snapshot {job.paths.snapshot.as_uri()} has 1 problem: SHA-256: got")
    assert f"expected {expected}. The file was replaced after the plan wrote it" in job.message
    job.paths.snapshot.unlink()
    assert job.run().returncode == 1
    assert job.message.startswith("CONFIGURATION: the snapshot cannot be read (FileNotFoundError")


def test_job_spec_of_another_schema_version_is_refused(job: JobFolder, booster: xgboost.Booster) -> None:
    add_booster(job, booster)
    job.add_object("a.parquet", make_flights(1, 1))
    job.write_spec()
    job.paths.spec.write_text(job.paths.spec.read_text().replace('"schema_version": 2', '"schema_version": 3'))

    assert job.run().returncode == 1

    assert job.message.startswith("CONFIGURATION: job.json has 1 problem: schema_version: got 3, expected 2")


def blocking_job(root: Path) -> tuple[JobFolder, Path, Path]:
    """Return a job whose second object waits while `gate` exists, then `gate` and `waiting`.

    `waiting` gets the id of the process that waits.
    """
    job = JobFolder(root / "ml")
    gate, waiting = root / "gate", root / "waiting"

    def predict(matrix: Any) -> Any:
        if matrix[0, 0] == 2_000_200 and gate.exists():
            unfinished = waiting.with_suffix(".tmp")
            unfinished.write_text(str(os.getpid()))
            unfinished.rename(waiting)
            while gate.exists():
                time.sleep(0.01)
        return matrix[:, 0]

    add_code(job, predict)
    for seed, rows in ((1, 3_000), (2, 2_000), (3, 1_000)):
        job.add_object(f"{seed}.parquet", make_flights(rows, seed))
    job.write_spec(batch_rows=100)
    gate.touch()
    return job, gate, waiting


def test_sigterm_drops_the_current_object_and_keeps_commits(tmp_path: Path) -> None:
    job, _, waiting = blocking_job(tmp_path)
    with job.start("--workers", "1") as process:
        # The first object is committed while the second is predicted; the order is not fixed.
        wait_for(lambda: waiting.exists() and len(job.committed()) == 1, process)
        worker = int(waiting.read_text())
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=DEADLINE_SECONDS)

    assert process.returncode == 143
    assert job.message.startswith("STOPPED: the container got SIGTERM")
    assert not alive(worker)
    assert sorted(job.files()) == [
        "ledger/code/1.parquet",
        job.output_path("code", "1.parquet").relative_to(job.paths.predictions.parent).as_posix(),
    ]


def test_rerun_after_kill_9_gives_the_same_bytes(tmp_path: Path) -> None:
    job, gate, waiting = blocking_job(tmp_path)
    with job.start("--workers", "1") as process:
        # The first object is committed while the second is predicted; the order is not fixed.
        wait_for(lambda: waiting.exists() and len(job.committed()) == 1, process)
        worker = int(waiting.read_text())
        process.kill()
        process.communicate(timeout=DEADLINE_SECONDS)
    wait_for(lambda: not alive(worker))
    committed = {name: content for name, content in job.files().items() if not name.startswith(".unfinished/")}
    assert len(committed) == 2, "one object and its commit"
    gate.unlink()

    job.score()

    second = job.files()
    assert committed.items() <= second.items()
    shutil.rmtree(job.paths.predictions.parent)
    job.score("--workers", "2", "--cores", "2")
    assert job.files() == second
    assert len(second) == 6
