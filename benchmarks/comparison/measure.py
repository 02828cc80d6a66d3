"""Measure wall time, CPU time and peak memory of a command with all the processes that it starts.

`python -m benchmarks.comparison.measure REPORT MARKS -- COMMAND…` runs the command and writes a
`Usage` as JSON. Each measurement runs in a process of its own that adopts and reaps every orphan
(Linux: PR_SET_CHILD_SUBREAPER). So the CPU time of daemons that a framework leaves behind (raylets,
JVMs) is counted too.
"""

import ctypes
import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path

_PR_SET_CHILD_SUBREAPER = 36
_SAMPLE_SECONDS = 0.05
_SAMPLING_SHARE = 0.05
"""Largest share of time spent on sampling.

With dozens of processes a sample is slow enough to matter.
"""
_DEADLINE_SECONDS = 1_800
_SECONDS_FOR_ORPHANS = 20.0
MARKS = "FLEETSCORE_BENCHMARK_MARKS"
"""Name of the variable with the file in which a contender notes when it is ready, see `mark_ready`.
"""


@dataclass(frozen=True)
class Usage:
    """Time and memory of one run, in seconds and bytes.

    `ready_wall` and `ready_cpu` are the times until the contender was ready.
    """

    exit_code: int
    wall: float
    cpu: float
    peak_bytes: int
    """Largest sampled sum of the proportional set sizes of all processes."""
    ready_wall: float
    ready_cpu: float

    @property
    def warm_wall(self) -> float:
        return self.wall - self.ready_wall

    @property
    def warm_cpu(self) -> float:
        return self.cpu - self.ready_cpu


def mark_ready() -> None:
    """Note that start-up is over. A contender calls this before its first row."""
    if MARKS in os.environ:
        Path(os.environ[MARKS]).write_text(f"{time.monotonic()}", encoding="ascii")


def measure(command: list[str], environment: dict[str, str], folder: Path, log: Path) -> Usage:
    """Run a command under a separate measuring process and return its usage."""
    folder.mkdir(parents=True, exist_ok=True)
    report, marks = folder / "usage.json", folder / "ready"
    report.unlink(missing_ok=True)
    marks.unlink(missing_ok=True)
    with log.open("wb") as output:
        subprocess.run(  # noqa: S603 - our own interpreter and modules
            [sys.executable, "-m", "benchmarks.comparison.measure", str(report), str(marks), "--", *command],
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            check=True,
        )
    return Usage(**json.loads(report.read_text(encoding="utf-8")))


class _Sampler(threading.Thread):
    """A thread that samples the process tree. Its own CPU time is not counted."""

    def __init__(self, marks: Path) -> None:
        super().__init__(daemon=True)
        self.peak = 0
        self.ready_cpu = 0.0
        self._cpu: dict[int, float] = {}
        """CPU seconds of each process when it was last seen."""
        self._marks = marks
        self._ended = threading.Event()

    def run(self) -> None:
        pause = _SAMPLE_SECONDS
        while not self._ended.wait(pause):
            began = time.monotonic()
            tree = _descendants(os.getpid())
            self.peak = max(self.peak, sum(_proportional_bytes(pid) for pid in tree))
            for pid in tree:
                self._cpu[pid] = max(_cpu_seconds(pid), self._cpu.get(pid, 0.0))
            if not self.ready_cpu and self._marks.exists():
                self.ready_cpu = self.seen_cpu
            pause = max(_SAMPLE_SECONDS, (time.monotonic() - began) / _SAMPLING_SHARE)

    @property
    def seen_cpu(self) -> float:
        return sum(self._cpu.values())

    def end(self) -> None:
        self._ended.set()
        self.join()


def main(report: Path, marks: Path, command: list[str]) -> int:
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "this process cannot adopt orphans: benchmarks need Linux 3.4+")
    sampler = _Sampler(marks)
    sampler.start()
    began = time.monotonic()
    process = subprocess.Popen(command, env={**os.environ, MARKS: str(marks)})  # noqa: S603
    try:
        code = process.wait(_DEADLINE_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        code = process.wait()
    wall = time.monotonic() - began
    _reap_orphans()
    sampler.end()
    ready = float(marks.read_text(encoding="ascii")) - began if marks.exists() else 0.0
    # The CPU time of children is lost when a daemon ignores their end, as Ray's does. Then use the
    # samples, which miss at most one sampling interval per process.
    usage = Usage(code, wall, max(_reaped_cpu(), sampler.seen_cpu), sampler.peak, ready, sampler.ready_cpu)
    report.write_text(json.dumps(asdict(usage)), encoding="utf-8")
    return 0


def _reap_orphans() -> None:
    """Terminate the processes that the command left behind, and wait for their end."""
    deadline = time.monotonic() + _SECONDS_FOR_ORPHANS
    while left := _descendants(os.getpid()):
        late = time.monotonic() > deadline
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL if late else signal.SIGTERM)
            except ProcessLookupError:
                continue
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        time.sleep(_SAMPLE_SECONDS)


def _descendants(root: int) -> list[int]:
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()[1])
            except (OSError, IndexError):
                continue
            children.setdefault(parent, []).append(int(entry.name))
    found: list[int] = []
    waiting = [root]
    while waiting:
        for child in children.get(waiting.pop(), ()):
            found.append(child)
            waiting.append(child)
    return found


def _proportional_bytes(pid: int) -> int:
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError):
        pass
    return 0


def _cpu_seconds(pid: int) -> float:
    """Return the CPU seconds of one process without its children."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(int(field) for field in fields[11:13]) / os.sysconf("SC_CLK_TCK")


def _reaped_cpu() -> float:
    times = os.times()
    return times.children_user + times.children_system


if __name__ == "__main__":
    split = sys.argv.index("--")
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[split + 1 :]))
