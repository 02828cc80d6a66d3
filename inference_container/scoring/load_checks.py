"""Loads models as a job does: `python -m scoring.load_checks REQUESTS ANSWERS SECONDS BYTES`.

For `fleetscore models register`, which loads models without running them, many in one process.
REQUESTS has a line of JSON per model: its `spec`, a `ModelSpec`, and the path of its `artifact`.
Artifacts are unpacked one at a time, into a folder beside ANSWERS. ANSWERS gets a line when the
process is ready, and then one per model as soon as it was loaded. So when a model ends the process,
it is the first one without an answer. Removing REQUESTS ends the process after the current model.
"""

import contextlib
import json
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

from contract import codec
from contract.archives import NoRoomError, unpack
from contract.catalog.model_spec import ModelSpec
from contract.json_text import parse_json
from contract.tar_members import ArchiveError
from scoring.errors import ConfigurationError, ScoringError, one_line
from scoring.models import load_model, loader_format, loader_of, preload


def check_record(spec: ModelSpec, path: Path) -> dict[str, Any]:
    """Load a model as a job does, and return what the job would say about it, in a dict.

    `problem` is the message of the job's error; None if the model can be loaded. `notes` are the
    notes on loading. `outputs` are the names of the prediction columns. `unchecked` is the reason
    why nothing could be checked here, such as a library that only the image has; else None.
    """
    answer: dict[str, Any] = {"problem": None, "unchecked": None, "notes": [], "outputs": []}
    if spec.custom_code:
        return {**answer, "unchecked": "the record sets custom_code, which runs in the job only"}
    try:
        loader_of(loader_format(spec))
    except ConfigurationError as error:
        return {**answer, "unchecked": str(error)}
    try:
        model = load_model(spec, path)
    except ScoringError as error:
        return {**answer, "problem": str(error)}
    return {**answer, "notes": list(model.notes), "outputs": [field.name for field in model.outputs]}


def main(requests: Path, answers: Path, seconds: int, max_bytes: int) -> int:
    """Load each requested model within `seconds`, the process within `max_bytes` of memory, 0 for no limit."""
    lines = [parse_json(line) for line in requests.read_text(encoding="utf-8").splitlines()]
    # Before the limits, which are those of models. What is missing here is an answer below.
    with contextlib.suppress(ConfigurationError):
        preload({line["spec"]["format"] for line in lines})
    _limit_memory(max_bytes)
    # The default action ends the process even while a library does not return to Python.
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    folder = answers.parent / "unpacked"
    # To a file, because libraries may print to stdout.
    with answers.open("w", encoding="utf-8") as written:
        written.write(json.dumps({"ready": True}) + "\n")
        written.flush()
        for line in lines:
            if not requests.exists():
                break
            written.write(json.dumps(_answer(line, folder, seconds)) + "\n")
            written.flush()
    return 0


def _answer(request: dict[str, Any], folder: Path, seconds: int) -> dict[str, Any]:
    try:
        spec = codec.from_json(ModelSpec, request["spec"])
        _empty(folder)
        unpack(Path(request["artifact"]), folder)
        signal.alarm(seconds)
        return check_record(spec, folder / spec.model_file)
    except NoRoomError as error:
        return {"no_room": str(error)}
    except ArchiveError as error:
        return {"error": f"its artifact cannot be unpacked: {error}"}
    except Exception as error:
        return {"error": one_line(error)}
    finally:
        signal.alarm(0)


def _empty(folder: Path) -> None:
    """Make `folder` an empty folder. Some file systems take milliseconds to remove and create one."""
    folder.mkdir(exist_ok=True)
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def _limit_memory(max_bytes: int) -> None:
    if max_bytes:
        import resource  # noqa: PLC0415 - Windows has none

        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        soft = max_bytes if hard == resource.RLIM_INFINITY else min(max_bytes, hard)
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


if __name__ == "__main__":
    sys.exit(main(*map(Path, sys.argv[1:3]), *map(int, sys.argv[3:])))  # type: ignore[arg-type]
