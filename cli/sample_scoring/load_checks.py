"""Test loads of many models in isolated processes, to find those that a job would refuse."""

import errno
import importlib.util
import math
import os
import re
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from cli.documents.artifact import lacks_room, unreadable_artifact
from cli.documents.model_document import ModelDocument
from cli.failures import CommandError
from cli.sample_scoring.container_process import run_container_code
from contract import codec
from contract.catalog.model_formats import FRAMEWORK_OF_FORMAT
from contract.free_memory import UNKNOWN_BYTES, free_memory
from contract.json_text import dump_json, parse_json
from contract.problems import Problem

OpenArtifact = Callable[[ModelDocument], AbstractContextManager[tuple[Path | None, list[Problem]]]]
"""Provides an artifact as a local file inside the context, or the reason for its absence."""

_LIBRARIES: dict[str, str] = {
    "xgboost": "xgboost",
    "lightgbm": "lightgbm",
    "catboost": "catboost",
    "onnx": "onnxruntime",
}
"""Modules of the frameworks that load models without running code of them."""
_MODELS_PER_PROCESS = 2_500
"""Largest number of models per process, whose start takes as long as loading 1,000 small models."""
_COPIED_BYTES = 2 << 30
"""Size of artifacts above which no further ones are copied for a process, in bytes."""
_LOAD_SECONDS = 300
"""Longest time to load one model."""
_PROCESS_BYTES = 2 << 30
"""Smallest memory of a process, in bytes; fewer processes run concurrently where less is free."""
_USABLE = 0.85
"""Share of the free memory that processes may use."""
_ONE_THREAD = {"OMP_NUM_THREADS": "1"}
"""A process per core loads models. The threads of OpenMP would wait actively for their next work."""
_REQUESTS = "requests.jsonl"
"""File of the models that a process loads. The process ends soon after it was removed."""
_PROGRESS_SECONDS = 5.0
_SHOWN_LOG_CHARACTERS = 500
_LACKS_MEMORY = re.compile(r"alloc|memory", re.IGNORECASE)
_UNLOADED = "If that is due to this machine, add --no-load-check, which registers models without loading them."


@dataclass(frozen=True)
class _Result:
    """Result of loading a model."""

    problems: tuple[Problem, ...] = ()
    depends_on_machine: bool = False
    """Whether the model might load if it had all memory and disk space of this machine."""


@dataclass(frozen=True)
class _Limits:
    """Limits of a process; no memory limit if `memory_bytes` is 0."""

    load_seconds: int
    memory_bytes: int


def is_loadable(document: ModelDocument) -> bool:
    """Return whether a model can be loaded here without running code of it."""
    library = _LIBRARIES.get(FRAMEWORK_OF_FORMAT[document.format])
    if library is None or document.custom_code:
        return False
    return _are_installed("scoring", "numpy", library)


@cache
def _are_installed(*libraries: str) -> bool:
    return all(map(importlib.util.find_spec, libraries))


def find_load_problems(
    documents: Iterable[ModelDocument],
    open_artifact: OpenArtifact,
    *,
    at_most: int,
    notice: Callable[[str], None] = lambda _: None,
) -> dict[str, tuple[Problem, ...]]:
    """Load models as jobs do; return the problems of those that have some, by model id.

    Models are loaded while `documents`, which yields no more than `at_most`, still yields others. A
    model is not loaded if that would run code of it, or if its library is not installed. The models
    of one library share a process. If a model ends the process, the others continue in a new one. A
    model that may have lacked memory or disk space is tried again alone.

    Raises:
        CommandError: when the process with the container's code cannot be started.
    """
    memory = free_memory()
    processes = max(1, min(_cores(), memory // _PROCESS_BYTES, at_most))
    limits = _Limits(_LOAD_SECONDS, _share(memory, processes))
    found: dict[str, _Result] = {}
    loaded: list[ModelDocument] = []
    stop = threading.Event()
    with (
        tempfile.TemporaryDirectory(prefix="fleetscore-models-") as folder,
        ThreadPoolExecutor(processes) as threads,
    ):
        root = Path(folder)
        try:
            tasks = []
            for batch in _batches(documents, _batch_size(at_most, processes)):
                tasks.append(threads.submit(_load_batch, batch, root, open_artifact, limits, stop))
                loaded += batch
            if at_most > 1 and tasks:
                notice(f"Loading {len(loaded):,} models as a job does ...")
            shown_at = time.monotonic()
            for task in as_completed(tasks):
                found.update(task.result())
                if time.monotonic() - shown_at > _PROGRESS_SECONDS and len(found) < len(loaded):
                    notice(f"Loaded {len(found):,} of {len(loaded):,} models ...")
                    shown_at = time.monotonic()
        except BaseException:
            # No thread starts another process, and each process ends after the model that it loads.
            stop.set()
            for requests in root.glob(f"*/{_REQUESTS}"):
                requests.unlink(missing_ok=True)
            threads.shutdown(cancel_futures=True)
            raise
        if len(loaded) > 1 or processes > 1:  # else the model was alone already
            for document in loaded:
                if found[document.model_id].depends_on_machine:
                    alone = _Limits(_LOAD_SECONDS, _share(free_memory(), 1))
                    found.update(_load_batch([document], root, open_artifact, alone, stop))
    return {model_id: result.problems for model_id, result in found.items() if result.problems}


def _batches(documents: Iterable[ModelDocument], size: int) -> Iterator[list[ModelDocument]]:
    """Yield the models that can be loaded, up to `size` of one framework at a time."""
    waiting: dict[str, list[ModelDocument]] = {}
    for document in filter(is_loadable, documents):
        framework = FRAMEWORK_OF_FORMAT[document.format]
        batch = waiting.setdefault(framework, [])
        batch.append(document)
        if len(batch) == size:
            yield waiting.pop(framework)
    yield from waiting.values()


def _batch_size(models: int, processes: int) -> int:
    """Return how many models a process loads. All load the same number, so that no core is idle at the end."""
    rounds = math.ceil(models / (processes * _MODELS_PER_PROCESS))
    return max(1, math.ceil(models / (processes * max(1, rounds))))


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _share(memory: int, processes: int) -> int:
    return 0 if memory >= UNKNOWN_BYTES else max(_PROCESS_BYTES, int(memory * _USABLE) // processes)


def _load_batch(
    models: Sequence[ModelDocument], folder: Path, open_artifact: OpenArtifact, limits: _Limits, stop: threading.Event
) -> dict[str, _Result]:
    """Load models in as many processes as needed, until `stop` is set; return their results."""
    found: dict[str, _Result] = {}
    left = list(models)
    while left and not stop.is_set():
        with tempfile.TemporaryDirectory(dir=folder) as own:
            copied, left = _copy(left, Path(own), open_artifact, found, stop)
            found.update(_load_copied(copied, Path(own), limits, stop))
    return found


def _copy(
    models: Sequence[ModelDocument],
    root: Path,
    open_artifact: OpenArtifact,
    found: dict[str, _Result],
    stop: threading.Event,
) -> tuple[list[ModelDocument], list[ModelDocument]]:
    """Copy artifacts to `root`, as many as fit, until `stop` is set; return their models and the remaining ones."""
    copied: list[ModelDocument] = []
    size = 0
    for place, document in enumerate(models):
        if size > _COPIED_BYTES or stop.is_set():
            return copied, list(models[place:])
        copy = _copy_of(document, root)
        result = _copy_one(document, copy, open_artifact)
        if result.problems:
            found[document.model_id] = result
        else:
            copied.append(document)
            size += copy.stat().st_size
    return copied, []


def _copy_of(document: ModelDocument, root: Path) -> Path:
    return root / f"{document.model_id}.tar.gz"


def _copy_one(document: ModelDocument, copy: Path, open_artifact: OpenArtifact) -> _Result:
    with open_artifact(document) as (path, missing):
        if path is None:
            return _Result(tuple(missing))
        try:
            shutil.copyfile(path, copy)
        except OSError as error:
            copy.unlink(missing_ok=True)
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                return _Result((lacks_room(path, error),), depends_on_machine=True)
            return _Result((unreadable_artifact(path, error),))
    return _Result()


def _load_copied(
    models: Sequence[ModelDocument], root: Path, limits: _Limits, stop: threading.Event
) -> Iterator[tuple[str, _Result]]:
    """Yield the result of each model, with a new process after each one that ended its process."""
    left = list(models)
    while left and not stop.is_set():
        answers, ending = _run(left, root, limits, stop)
        for document, answer in zip(left, answers, strict=False):
            yield document.model_id, _result_of(document, answer)
        left = left[len(answers) :]
        if left and not stop.is_set():  # else the process has ended because of that
            document = left.pop(0)
            yield (
                document.model_id,
                _Result((_refusal(document, ending, _UNLOADED),), not ending.startswith("loading")),
            )


def _run(
    models: Sequence[ModelDocument], root: Path, limits: _Limits, stop: threading.Event
) -> tuple[list[dict[str, Any]], str]:
    """Load models in a process; return the answers that it gave, and how it ended."""
    requests, written = root / _REQUESTS, root / "answers.jsonl"
    written.unlink(missing_ok=True)
    with requests.open("w", encoding="utf-8") as file:
        for document in models:
            spec = document.spec(document.version or "1", "0" * 64, 0)
            line = {"spec": codec.to_json(spec), "artifact": str(_copy_of(document, root))}
            file.write(dump_json(line) + "\n")
    if stop.is_set():  # before the file could be found and removed
        return [], ""
    arguments = [str(requests), str(written), str(limits.load_seconds), str(limits.memory_bytes)]
    ended = run_container_code("scoring.load_checks", arguments, root=root, variables=_ONE_THREAD)
    # A line without its end was being written when the process ended.
    lines = written.read_bytes().split(b"\n")[:-1] if written.is_file() else []
    log = " ".join(ended.stderr.split())[-_SHOWN_LOG_CHARACTERS:]
    if not lines:
        raise CommandError(
            f"The container's code, which loads models to check them, cannot be started here: {log}. Install its "
            "packages again with `pip install 'fleetscore[scoring]'`, or add --no-load-check."
        )
    return [parse_json(line) for line in lines[1:]], _ending(ended.returncode, log, limits)


def _ending(code: int, log: str, limits: _Limits) -> str:
    """Return how a process ended that did not load all its models."""
    number = -code if code < 0 else code - 128
    name = signal.Signals(number).name if number in set(signal.Signals) else f"exit code {code}"
    if name == signal.SIGALRM.name:
        return f"loading it takes longer than {limits.load_seconds:,} seconds"
    return f"it ended the process with {name}" + (f": {log}" if log else "")


def _result_of(document: ModelDocument, answer: dict[str, Any]) -> _Result:
    if "no_room" in answer:
        return _Result((lacks_room(document.artifact, answer["no_room"]),), depends_on_machine=True)
    why = answer.get("problem") or answer.get("error")
    if not why:
        return _Result()
    lacks_memory = _LACKS_MEMORY.search(why) is not None
    return _Result((_refusal(document, why, _UNLOADED if lacks_memory else ""),), lacks_memory)


def _refusal(document: ModelDocument, why: str, remedy: str) -> Problem:
    expected = f"a model that a job can load with this record ({why})"
    return Problem("model_file", document.model_file, expected, remedy)
