"""Checks that scoring can load a trained model and predict with it, before it is registered.

Loading a script's model may run code, so it is loaded in a process of the script's user: `python -m
training.load_check MODEL ANSWER`, with the model's spec on stdin.
"""

import json
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa

from contract.catalog.model_formats import FRAMEWORK_OF_FORMAT
from contract.catalog.model_spec import ModelSpec
from contract.codec import dumps, loads
from contract.json_text import JsonError, parse_json
from contract.status import FailureKind
from contract.training.training_spec import TrainingSpec
from scoring.columns.features import FeatureBatch
from scoring.columns.predictions import complete_columns
from scoring.errors import (
    IN_LOG,
    ModelError,
    ScoringError,
    TransientError,
    describe_error,
    error_of_kind,
    log_error,
)
from scoring.models import load_model
from scoring.separation.descendants import kill_descendants, renounce_privileges
from scoring.separation.worker_user import WorkerUser, process_options
from training.interruption import Interruption

_MAX_ANSWER_BYTES = 16 << 20


def model_spec_of(spec: TrainingSpec) -> ModelSpec:
    """Return the model's spec as scoring will get it, with a placeholder for the artifact."""
    return ModelSpec(
        model_id=spec.model_id,
        version=spec.version,
        artifact_sha256="0" * 64,
        artifact_bytes=0,
        framework=FRAMEWORK_OF_FORMAT[spec.format],
        format=spec.format,
        model_file=spec.model_file,
        method=spec.method,
        features=spec.features,
        output_columns=spec.output_columns,
    )


def check_model(record: ModelSpec, path: Path, sample: FeatureBatch | None) -> tuple[str, ...]:
    """Load a model file with scoring's loader, predict a sample, and return the prediction columns.

    Raises:
        ModelError, ConfigurationError: with the message that scoring would give.
    """
    model = load_model(record, path)
    fields: tuple[pa.Field, ...] = model.outputs
    if sample is not None:
        try:
            complete_columns(record, fields, model.predict(sample), sample.rows, 0)
        except ScoringError:
            raise
        except Exception as error:
            raise ModelError(
                f"the trained model cannot predict the rows it was trained on ({describe_error(error)}; {IN_LOG})"
            ) from error
    return tuple(field.name for field in fields)


def check_in_process(
    record: ModelSpec, path: Path, scratch: Path, user: WorkerUser | None, interruption: Interruption
) -> tuple[str, ...]:
    """Load a model file in another process, and return the prediction columns.

    `scratch` is where the process gets a folder of its own.

    Raises:
        ModelError, ConfigurationError: with the message that scoring would give.
        TransientError: when the process was killed, most likely because of its memory.
    """
    folder = scratch / "check"
    if user is None:
        folder.mkdir(parents=True)
    else:
        user.make_folder(folder)
    answer = folder / "answer.json"
    with subprocess.Popen(  # noqa: S603 - our own interpreter and module
        [sys.executable, *(["-P"] if user else []), "-m", "training.load_check", str(path), str(answer)],
        stdin=subprocess.PIPE,
        **process_options(user, folder, os.environ),
    ) as process:
        with interruption.call_on_signal(process.kill):
            process.communicate(dumps(record).encode())
        kill_descendants()
    interruption.check()
    found = _read_answer(answer)
    columns = found.get("columns")
    if isinstance(columns, list) and all(isinstance(name, str) for name in columns):
        return tuple(columns)
    text, kind = found.get("text"), found.get("kind")
    if isinstance(text, str) and isinstance(kind, str) and kind in set(FailureKind):
        raise error_of_kind(FailureKind(kind), text)
    if process.returncode == -signal.SIGKILL:
        raise TransientError(
            "the process that loads the trained model was killed (SIGKILL), most likely out of memory: if it happens "
            "again choose an instance type with more memory"
        )
    raise ModelError(
        f"the trained model crashed the process that loads it (exit code {process.returncode}): see the job's log"
    )


def _read_answer(path: Path) -> dict[str, Any]:
    """Return the answer of the process, in whose folder anything may lie; empty if there is none."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode) or found.st_size > _MAX_ANSWER_BYTES:
                return {}
            answer = parse_json(file.read(_MAX_ANSWER_BYTES))
    except (OSError, JsonError):
        return {}
    return answer if isinstance(answer, dict) else {}


def main(path: Path, answer: Path) -> None:
    renounce_privileges()
    record = loads(ModelSpec, sys.stdin.buffer.read())
    found: dict[str, Any]
    try:
        found = {"columns": check_model(record, path, None)}
    except ScoringError as error:
        log_error(error)
        found = {"kind": error.kind.value, "text": error.text}
    answer.write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
    sys.stdout.flush()
    sys.stderr.flush()
    # Skip the interpreter's slow shutdown.
    os._exit(0)
