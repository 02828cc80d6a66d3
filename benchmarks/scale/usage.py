"""Processor time and memory of an embedded AWS, by part."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_SAMPLE_SECONDS = 0.5


@dataclass(frozen=True)
class Usage:
    """What the parts of an embedded AWS needed in a while."""

    server_seconds: float
    """Processor time of the embedded AWS itself."""
    function_seconds: float
    """Processor time of the Lambda functions."""
    container_seconds: float
    """Processor time of the jobs' containers."""
    server_bytes: int
    """Peak memory of the embedded AWS itself."""


@dataclass(frozen=True)
class _Process:
    parent: int
    own: float
    ended_children: float


class UsageMeter:
    """Reads what the processes of an embedded AWS needed. It needs Linux."""

    def __init__(self, server: int) -> None:
        self._server = server
        self._functions: dict[int, float] = {}

    @contextmanager
    def measured(self, found: list[Usage]) -> Iterator[None]:
        """Append what the block needed to `found`."""
        Path(f"/proc/{self._server}/clear_refs").write_text("5", encoding="ascii")  # the peak starts again
        before = self._read()
        stop = threading.Event()
        watch = threading.Thread(target=self._watch, args=(stop,), daemon=True)
        watch.start()
        try:
            yield
        finally:
            stop.set()
            watch.join()
            server, functions, containers = (now - then for now, then in zip(self._read(), before, strict=True))
            found.append(Usage(server, functions, containers, self._peak()))

    def _watch(self, stop: threading.Event) -> None:
        # A function's process that has ended is known by the last look at it.
        while not stop.wait(_SAMPLE_SECONDS):
            self._read()

    def _read(self) -> tuple[float, float, float]:
        processes = _processes()
        server = processes[self._server]
        containers = server.ended_children
        for pid, process in processes.items():
            if process.parent != self._server:
                continue
            family = _descendants(pid, processes)
            if b"serve(" in _command(pid):
                self._functions |= {each: processes[each].own for each in family}
            else:
                containers += sum(processes[each].own + processes[each].ended_children for each in family)
        return server.own, sum(self._functions.values()), containers

    def _peak(self) -> int:
        status = Path(f"/proc/{self._server}/status").read_text(encoding="ascii").splitlines()
        [line] = [line for line in status if line.startswith("VmHWM:")]
        return int(line.split()[1]) * 1_024


def _processes() -> dict[int, _Process]:
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            text = (entry / "stat").read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue  # it has ended
        fields = text[text.rindex(")") + 2 :].split()
        user, system, child_user, child_system = (int(value) / _TICKS for value in fields[11:15])
        found[int(entry.name)] = _Process(int(fields[1]), user + system, child_user + child_system)
    return found


def _descendants(pid: int, processes: dict[int, _Process]) -> list[int]:
    family = [pid]
    for each in family:
        family += [child for child, process in processes.items() if process.parent == each]
    return family


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""
