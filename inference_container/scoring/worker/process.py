"""The work of a worker process: loads the models once and scores objects until its command pipe closes.

A separate process, so that a model that crashes or uses up the memory leaves the supervisor alive
to report it. Spawned and never forked: forking after a model library is loaded hangs XGBoost and
others.
"""

import gc
import os
import queue
import signal
import threading
import time
from pathlib import Path
from typing import BinaryIO, Never

from scoring.called_models import calling, note_calls
from scoring.errors import ScoringError, log_error
from scoring.lazy_imports import import_lazily
from scoring.protocol import Command, SetupFailed, WorkerReady, WorkerSetup, decode_command
from scoring.separation.descendants import set_no_new_privileges
from scoring.worker.task_runner import EventPipe, TaskRunner

_GC_THRESHOLD = 5_000
"""New objects between two garbage collections. Python's default is 700."""


def run(notes: int, formats: list[str]) -> Never:
    """Run a worker. The garbage collector must be off."""
    note_calls(notes)
    started = time.monotonic()
    # The supervisor handles the signals that stop the job, and ends its workers.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    set_no_new_privileges()
    commands, events = _take_over_pipes()
    inbox: queue.SimpleQueue[Command] = queue.SimpleQueue()
    threading.Thread(target=_receive, args=(commands, inbox), daemon=True).start()

    # Importing it takes longer than scoring a small object, and most objects need none of its functions.
    import_lazily("pyarrow.compute")
    # Imported here, so that libraries load while the supervisor verifies the artifacts.
    from scoring.models import LoadedModel, load_model, preload, threads_help  # noqa: PLC0415
    from scoring.worker.engine import Engine  # noqa: PLC0415

    try:
        preload(formats)  # type: ignore[arg-type]
        gc.freeze()
        gc.enable()
        setup = inbox.get()
        assert isinstance(setup, WorkerSetup)  # noqa: S101 - the supervisor sends it first
        models: list[LoadedModel] = []
        load_seconds: list[float] = []
        if setup.fleet is not None:
            from scoring.fleets.loading import load_fleet  # noqa: PLC0415 - most jobs have no fleet

            models = [load_fleet(setup.fleet, setup.models[0])]
        else:
            files = zip(setup.models, setup.model_files, strict=True)
            for spec, file in files:
                load_started = time.monotonic()
                with calling(spec.model_id):
                    models.append(load_model(spec, Path(file)))
                load_seconds.append(time.monotonic() - load_started)
        engine = Engine(setup, models, log_error)
    except ScoringError as error:
        log_error(error)
        events.send(SetupFailed(error.kind, error.text))
        os._exit(1)
    # The models stay loaded, and scanning them at each garbage collection would cost as much as a
    # small object.
    gc.collect()
    gc.freeze()
    # Scoring makes few reference cycles, but many objects.
    gc.set_threshold(_GC_THRESHOLD)
    runner = TaskRunner(engine, events)
    can_thread = all(threads_help(model) for model in models)
    events.send(WorkerReady(time.monotonic() - started, can_thread, tuple(load_seconds)))
    while True:
        command = inbox.get()
        assert not isinstance(command, WorkerSetup)  # noqa: S101
        runner.submit(command)


def _take_over_pipes() -> tuple[BinaryIO, EventPipe]:
    """Detach the pipes from stdin and stdout, so that a model's prints are not read as events."""
    commands = os.fdopen(os.dup(0), "rb")
    events = os.fdopen(os.dup(1), "wb")
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(2, 1)
    return commands, EventPipe(events)


def _receive(commands: BinaryIO, inbox: "queue.SimpleQueue[Command]") -> None:
    for line in commands:
        inbox.put(decode_command(line))
    # All work is done, or the supervisor has died. Outputs are complete only once they are
    # committed, which the supervisor does.
    os._exit(0)
