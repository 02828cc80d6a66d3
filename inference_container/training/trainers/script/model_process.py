"""Loads a script's model in another process, as the script's user, because loading it may run code.

`python -m training.trainers.script.model_process MODEL ANSWER` is that process. It reads the model's spec
from stdin.
"""

import contextlib
import json
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

from contract.catalog.model_spec import ModelSpec
from contract.codec import dumps, loads
from contract.json_text import JsonError, parse_json
from contract.status import FailureKind
from scoring.errors import ModelError, ScoringError, TransientError, error_of_kind, log_error
from scoring.job_log.process_output import ProcessOutput
from scoring.separation.descendants import kill_descendants, set_no_new_privileges
from scoring.separation.worker_user import WorkerUser, make_folder, process_options
from training.interruption import Interruption
from training.load_check import check_model

_MAX_ANSWER_BYTES = 16 << 20


def check_in_process(
    record: ModelSpec, path: Path, scratch: Path, user: WorkerUser | None, interruption: Interruption
) -> tuple[str, ...]:
    """Load a model file in another process, and return the prediction columns.

    The process gets a folder of its own below `scratch`.

    Raises:
        ModelError, ConfigurationError: with the message that scoring would give.
        TransientError: when the process was killed, most likely because of its memory.
    """
    folder = scratch / "check"
    make_folder(folder, user)
    answer = folder / "answer.json"
    with subprocess.Popen(  # noqa: S603 - our own interpreter and module
        [sys.executable, *(["-P"] if user else []), "-m", __name__, str(path), str(answer)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        **process_options(user, folder, os.environ),
    ) as process:
        assert process.stdin is not None  # noqa: S101 - pipes, see above
        assert process.stdout is not None  # noqa: S101
        output = ProcessOutput(process.stdout, lambda: {"program": "load check"}, has_errors=True)
        with interruption.call_on_signal(process.kill):
            with contextlib.suppress(BrokenPipeError), process.stdin as stdin:
                stdin.write(dumps(record).encode())
            process.wait()
        kill_descendants()
        output.finish()
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
    """Return the answer of the process; empty if there is none, or another file in its place."""
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
    """Load a model, and write its prediction columns or the error as JSON to the file `answer`."""
    set_no_new_privileges()
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
