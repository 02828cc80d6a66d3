"""Kills jobs at random moments, resumes them, and compares their files with those of a job that ran through.

`make kills` kills hundreds of times instead of a few.
"""

import copy
import itertools
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from contract import codec
from contract.container_paths import ContainerPaths
from contract.job.scoring_spec import JobSpec
from contract.layout import finished_key
from tests.unit.checksums import crc64nvme
from tests.unit.scoring.support.job_folder import DATASET, DEADLINE_SECONDS, JobFolder
from tests.unit.scoring.support.mounted import mount_each
from tests.unit.scoring.support.separated import why_not_separable

_QUICK_KILLS = 2
KILLS = int(os.environ.get("FLEETSCORE_KILLS", str(_QUICK_KILLS)))
"""Number of kills per job."""
_SEED = 20_131
_LONGEST_WAIT = 2.0
"""Longest time from an attempt's first output to its kill, in seconds."""
_SHARE_OF_STARTS = 0.2
"""Share of the kills that do not wait for an output."""
_SHARE_OF_WORKERS = 0.2
"""Share of the kills that end one worker, and not the whole container."""

_Identities = dict[tuple[str, str], list[tuple[int, int]]]
"""Inode and time of each output, by model id and object key of its commit."""


def check_kills(whole: JobFolder, folder: Path) -> dict[str, bytes]:
    """Run a job through, and copies of it that are killed `KILLS` times in all. Return the first one's files.

    After each kill, files are whole, and what was committed stays untouched. In the end, all copies have the
    same files, with one commit per object and model.
    """
    # Copies, because the artifacts' archives have the time, and a fleet's version follows from them.
    template = folder / "template"
    shutil.copytree(whole.paths.root, template)
    assert _complete(whole) == 0, whole.message
    reference = published(whole)
    pairs = len(whole.committed())

    seed = _SEED if KILLS == _QUICK_KILLS else random.SystemRandom().randrange(1 << 32)
    moments, killed = random.Random(seed), 0
    for number in itertools.count(1):
        job = _copy_of(whole, template, folder / f"killed-{number}")
        if number % 2 and not why_not_separable():
            # With a mount per output folder, files are copied; the bytes must be those of files that are renamed.
            job.command_prefix = mount_each(job.paths.predictions, job.paths.quarantine, job.paths.ledger)
        committed: _Identities = {}
        while len(committed) < pairs and killed < KILLS:
            killed += _kill(job, moments)
            found = _check_whole(job, reference)
            assert {pair: found.get(pair) for pair in committed} == committed, f"seed {seed}"
            committed = found
        if len(committed) < pairs:
            assert _complete(job) == 0, job.message
        _check_whole(job, reference)
        assert published(job) == reference, f"seed {seed}"
        shutil.rmtree(job.paths.root)
        if killed == KILLS:
            print(f"{killed} kills of {number} jobs, seed {seed}")
            return reference
    raise AssertionError("unreachable")


def _copy_of(job: JobFolder, template: Path, root: Path) -> JobFolder:
    shutil.copytree(template, root)
    made = copy.copy(job)
    made.paths = ContainerPaths(root)
    made.objects_folder = made.paths.data / DATASET
    return made


def published(job: JobFolder) -> dict[str, bytes]:
    """Return the files that readers see, without incomplete copies, which a later attempt replaces."""
    return {
        name: content
        for name, content in job.files().items()
        if not name.startswith(".unfinished/") and finished_key(name) is None
    }


def _give_open_objects(job: JobFolder) -> None:
    """Remove the objects that every model has committed, as the manifest of an attempt leaves them out."""
    spec = codec.loads(JobSpec, job.paths.spec.read_bytes())
    committing, committed = [model.model_id for model in spec.committing_models], job.committed()
    for item in job.objects:
        if all((model_id, item.key) in committed for model_id in committing):
            (job.objects_folder / item.key).unlink(missing_ok=True)


def _start(job: JobFolder) -> subprocess.Popen[bytes]:
    _give_open_objects(job)
    return subprocess.Popen(
        [*job.command_prefix, sys.executable, "-m", "scoring", "--workers", "2", "--cores", "2"],
        env=job.environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def _complete(job: JobFolder) -> int:
    """Run an attempt to its end, and return its exit code."""
    process = _start(job)
    process.communicate(timeout=DEADLINE_SECONDS)
    return process.returncode


def _kill(job: JobFolder, moments: random.Random) -> bool:
    """Start an attempt and kill it, or one of its workers, at a random moment.

    Return whether something was killed; otherwise the attempt has ended before.
    """
    started = time.time_ns()
    process = _start(job)
    waits_for_output = moments.random() > _SHARE_OF_STARTS
    deadline = time.monotonic() + DEADLINE_SECONDS
    while waits_for_output and process.poll() is None and not _has_written_since(job, started):
        assert time.monotonic() < deadline
        time.sleep(0.001)
    only_a_worker = moments.random() < _SHARE_OF_WORKERS
    try:
        process.communicate(timeout=moments.uniform(0.0, _LONGEST_WAIT))
    except subprocess.TimeoutExpired:
        is_killed = True
        if only_a_worker:
            is_killed = _kill_a_worker(process.pid, moments)
        else:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate(timeout=DEADLINE_SECONDS)
        return is_killed
    return False


def _kill_a_worker(session: int, moments: random.Random) -> bool:
    """Kill one process of a session that is not its first, if there is one."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            # The name in parentheses may have any characters.
            fields = status.read_text().rpartition(")")[2].split()
            if int(fields[3]) == session and int(status.parent.name) != session:
                found.append(int(status.parent.name))
    for process in moments.sample(sorted(found), len(found)):
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
            return True
    return False


def _has_written_since(job: JobFolder, moment: int) -> bool:
    with suppress(FileNotFoundError):
        return any(path.stat().st_ctime_ns > moment for path in job.paths.predictions.rglob("*.*"))
    return True


def _check_whole(job: JobFolder, reference: dict[str, bytes]) -> _Identities:
    """Check that files are whole and commits have their outputs."""
    outputs: _Identities = {}
    for commit in job.commits():
        # Each object and model is committed once: an attempt gets no object that is.
        assert (commit.model_id, commit.object) not in outputs
        outputs[commit.model_id, commit.object] = identities = []
        for output in commit.outputs:
            folder = job.paths.predictions if output.kind == "predictions" else job.paths.quarantine
            content = (folder / output.key).read_bytes()
            assert (len(content), crc64nvme(content)) == (output.bytes, output.crc64nvme)
            status = (folder / output.key).stat()
            identities.append((status.st_ino, status.st_mtime_ns))
    for name, content in published(job).items():
        assert reference[name] == content, name
    return outputs
