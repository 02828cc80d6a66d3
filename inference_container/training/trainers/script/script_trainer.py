"""Runs the user's training script, packed as for SageMaker's framework containers.

The channel `code` has `sourcedir.tar.gz`, and the hyperparameter `sagemaker_program` names the
script in it. The script saves the model into SM_MODEL_DIR and may write metrics there too. It is
the user's code: it runs as another user where the container permits it, only if the spec names the
trainer `script`, and its model is loaded in another process too.
"""

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

from contract.archives import NoRoomError, unpack
from contract.json_text import JsonError, parse_json
from contract.names import check_object_key
from contract.status import FailureKind
from contract.tar_members import ArchiveError
from contract.training.training_spec import MAX_METRIC, is_metric
from scoring.errors import (
    IN_LOG,
    MORE_ROOM,
    ConfigurationError,
    ModelError,
    ScoringError,
    TransientError,
    describe_error,
    error_of_kind,
)
from scoring.job.artifacts import sha256_of
from scoring.job_log.events import log_event
from scoring.job_log.process_output import ProcessOutput
from scoring.separation.descendants import adopt_orphans, kill_descendants, set_no_new_privileges
from scoring.separation.worker_user import process_options
from training.trainers.script.environment import (
    PROGRAM,
    SUBMIT_DIRECTORY,
    arguments,
    count_gpus,
    decoded,
    user_hyperparameters,
    variables,
)
from training.trainers.script.folders import ScriptFolders
from training.trainers.script.model_process import check_in_process
from training.trainers.script.traceback_reader import ScriptTraceback
from training.trainers.trainer import TrainingContext, TrainingResult

_SECONDS_TO_CLOSE = 10
_METRICS_BYTES = 64 << 10
_SHOWN_FILES = 8
_LOGGED_CHARACTERS = 4_096
_UNBUFFERED = {"PYTHONUNBUFFERED": "1"}
"""As in the image: lines of stdout and stderr keep their order, and none is lost when the script is killed."""
_KINDS = frozenset({"DATA", "MODEL", "CONFIGURATION", "TRANSIENT"})


def train(job: TrainingContext) -> TrainingResult:
    """Run the script to its end. Raises ScoringError if it fails, with the place of its exception."""
    folders = ScriptFolders(job.paths, job.scratch)
    program = _unpack(job, folders.code)
    folders.hand_over()
    job.interruption.saved = "what the script wrote to the checkpoint folder is kept, the next attempt finds it there"
    job.interruption.check()
    try:
        ending, raised = _run(job, folders, program)
    finally:
        failure = folders.failure()
    folders.take_back()
    # After a signal, the script's model may be incomplete.
    job.interruption.check()
    if ending:
        raise _failed(program, ending, raised, failure)
    folders.check_model()
    if not job.model_path.exists():
        found = sorted(p.relative_to(job.paths.model).as_posix() for p in job.paths.model.rglob("*") if p.is_file())
        raise ModelError(
            f"the training script {program!r} succeeded but wrote no {job.spec.model_file!r} to SM_MODEL_DIR, it wrote "
            f"{', '.join(map(repr, found[:_SHOWN_FILES])) or 'nothing'}: save the model there, or correct model_file"
        )
    metrics = _metrics(job)
    columns = check_in_process(job.record, job.model_path, job.scratch, folders.user, job.interruption)
    return TrainingResult(metrics=metrics, checked_columns=columns)


def _unpack(job: TrainingContext, target: Path) -> str:
    """Unpack the script's archive and return the path of the script in it."""
    values = decoded(job.spec.hyperparameters)
    program, submitted = values.get(PROGRAM), values.get(SUBMIT_DIRECTORY)
    if not isinstance(program, str) or not program.endswith(".py") or check_object_key(PROGRAM, program):
        shown = "nothing" if program is None else repr(program)
        raise ConfigurationError(
            f"hyperparameter {PROGRAM}: got {shown}, expected the path of a Python script in sourcedir.tar.gz, "
            "such as 'train.py'"
        )
    archive = job.paths.source
    if not archive.is_file():
        where = f" (it cannot be loaded from {submitted!r}: the job has no network)" if submitted else ""
        raise ConfigurationError(
            f"the training script's archive is missing: give the job a channel 'code' with {archive.name}{where}"
        )
    digest = sha256_of(archive)
    if digest != job.spec.code_sha256:
        raise ConfigurationError(
            f"{archive.name} has SHA-256 {digest}, the training spec says {job.spec.code_sha256}: it was replaced "
            "after the training was planned"
        )
    try:
        unpack(archive, target)
    except NoRoomError as error:
        raise ConfigurationError(f"no room to unpack {archive.name} ({error}): {MORE_ROOM}") from error
    except ArchiveError as error:
        raise ConfigurationError(
            f"{archive.name} cannot be unpacked ({error}): pack it again as a tar.gz of plain files"
        ) from error
    if not (target / program).is_file():
        found = sorted(path.relative_to(target).as_posix() for path in target.rglob("*.py"))
        raise ConfigurationError(
            f"hyperparameter {PROGRAM}: {archive.name} has no {program!r}, it has "
            f"{', '.join(map(repr, found[:_SHOWN_FILES])) or 'no Python file'}"
        )
    if (target / "requirements.txt").is_file():
        raise ConfigurationError(
            f"{archive.name} has a requirements.txt, but a training job has no network to install from: build what it "
            "needs into an image of your own and leave the file out"
        )
    return program


def _run(job: TrainingContext, folders: ScriptFolders, program: str) -> tuple[int, str]:
    """Run the script; return its exit code, negative for a signal, and its last exception.

    What it prints goes to the log, in the order in which it is printed. No process of the script is
    left at the end.
    """
    code = folders.code
    set_no_new_privileges()
    adopt_orphans()
    values = user_hyperparameters(decoded(job.spec.hyperparameters))
    given = variables(
        job.paths,
        program,
        code,
        job.spec.hyperparameters,
        roots=(job.train.root, job.validation.root),
        cores=job.cores,
        gpus=count_gpus(),
    )
    log_event("script_started", program=program, arguments=arguments(values))
    seen = ScriptTraceback(code)
    options = process_options(folders.user, folders.home, {**os.environ, **_UNBUFFERED, **given})
    options["cwd"] = code
    with subprocess.Popen(  # noqa: S603 - running the user's script is the purpose
        [sys.executable, program, *arguments(values)],
        **options,
        # One pipe for both, which keeps their order.
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        # A new process group, so that a signal also reaches the processes that the script starts.
        start_new_session=True,
    ) as process:
        assert process.stdout is not None  # noqa: S101 - a pipe, see above
        output = ProcessOutput(process.stdout, lambda: {"program": program}, on_line=seen.add)
        try:
            with job.interruption.call_on_signal(lambda: _signal(process.pid, signal.SIGTERM)):
                ending = process.wait()
        finally:
            _signal(process.pid, signal.SIGKILL)
            process.wait()
            stopped = kill_descendants()
        output.finish(_SECONDS_TO_CLOSE)
    if not stopped:
        raise ScoringError(
            f"processes that the training script {program!r} has started cannot be stopped, so its model may still "
            "change: wait for them in the script"
        )
    return ending, seen.described


def _signal(group: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, number)


def _failed(program: str, ending: int, raised: str, failure: str) -> ScoringError:
    """Return the error of a failed script.

    `failure` is the text of its failure file, which gives the kind and is otherwise only logged.
    """
    name = f"the training script {program!r}"
    if ending == -signal.SIGKILL:
        return TransientError(
            f"{name} was killed (SIGKILL), most likely out of memory: if it happens again choose an instance type with "
            "more memory"
        )
    how = f"exit code {ending}" if ending > 0 else f"signal {-ending}"
    kind, separator, _ = failure.partition(":")
    if not (separator and kind in _KINDS):
        kind = FailureKind.MODEL.value
    reason = f"{name} ended with {how}" + (f" ({raised})" if raised else "")
    detail = f"failure file: {failure[:_LOGGED_CHARACTERS]}" if failure else ""
    return error_of_kind(FailureKind(kind), f"{reason}: what it wrote is in the job's log", detail)


def _metrics(job: TrainingContext) -> dict[str, float]:
    path = job.paths.script_metrics
    if not path.is_file():
        return {}
    expected = f"one small JSON object of numbers up to {MAX_METRIC:g}"
    problem = f'{path.name} in SM_MODEL_DIR must be {expected}, such as {{"auc": 0.81}}'
    if path.stat().st_size > _METRICS_BYTES:
        raise ModelError(f"{problem}; it has {path.stat().st_size:,} bytes")
    try:
        values = parse_json(path.read_bytes())
    except JsonError as error:
        raise ModelError(f"{problem} ({describe_error(error)}; {IN_LOG})") from error
    if not isinstance(values, dict):
        raise ModelError(f"{problem}; it is a {type(values).__name__}")
    wrong = [name for name, value in values.items() if not is_metric(value)]
    if wrong:
        raise ModelError(f"{problem}; these are not finite numbers: {', '.join(map(repr, wrong))}")
    return {name: float(value) for name, value in values.items()}
