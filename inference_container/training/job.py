"""One training job: from its spec to model and report, or to the failure file."""

import importlib
import importlib.metadata
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from contract.catalog.model_formats import FRAMEWORK_OF_FORMAT
from contract.codec import dumps
from contract.container_paths import TrainingPaths
from contract.problems import InvalidInputError
from contract.status import FailureKind
from contract.training.training_spec import TrainingReport
from scoring.errors import ModelError, ScoringError, log_error, unforeseen
from scoring.files.new_file import new_file
from scoring.files.scratch import scratch_folder
from scoring.job_log.events import log_event
from scoring.job_log.fields import further_fields
from training.data.channel_files import find_channel
from training.interruption import EXIT_CODE, InterruptedTrainingError, Interruption
from training.load_check import check_model, model_spec_of
from training.read_spec import read_spec
from training.reporting import write_failure
from training.trainers.trainer import TrainingContext, TrainingResult

_TRAINERS = {
    "xgboost": "training.trainers.xgboost_trainer",
    "sklearn": "training.trainers.sklearn_trainer",
    "script": "training.trainers.script.script_trainer",
}
"""Trainer modules, imported on demand: loading them takes longer than a small training."""
_DISTRIBUTIONS = {
    "sklearn": ("scikit-learn",),
    "xgboost": ("xgboost", "xgboost-cpu"),
    "lightgbm": ("lightgbm",),
    "catboost": ("catboost",),
    "onnx": ("onnxruntime", "onnx"),
    "tensorflow": ("tensorflow", "tensorflow-cpu", "keras"),
    "keras": ("keras",),
    "pytorch": ("torch",),
}


def run(paths: TrainingPaths, cores: int) -> int:
    """Train as the spec says and return the exit code; on failure the failure file says why."""
    with further_fields() as fields:
        return _run(paths, cores, fields)


def _run(paths: TrainingPaths, cores: int, fields: dict[str, str]) -> int:
    paths.failure.unlink(missing_ok=True)
    interruption = Interruption()
    try:
        with interruption.watch():
            # First, so that SageMaker never packs files of a killed training, not even if this one fails.
            _empty(paths.model)
            with scratch_folder((paths.output, paths.root, paths.data, paths.train)) as scratch:
                _train(paths, scratch, cores, interruption, fields)
    except InterruptedTrainingError as error:
        _fail(paths, error.kind, error.text)
        return EXIT_CODE
    except ScoringError as error:
        log_error(error)
        _fail(paths, error.kind, error.text)
        return 1
    except MemoryError as error:
        log_error(error)
        _fail(paths, FailureKind.CONFIGURATION, "out of memory: choose an instance type with more memory")
        return 1
    # Unforeseen errors, too, must leave a reason for the operator.
    except Exception as error:
        log_error(error)
        failure = unforeseen(error)
        _fail(paths, failure.kind, failure.text)
        return 1
    return 0


def _train(paths: TrainingPaths, scratch: Path, cores: int, interruption: Interruption, fields: dict[str, str]) -> None:
    """Train, and put the model into the fields of the log's lines."""
    started = time.monotonic()
    spec = read_spec(paths)
    fields["model"] = spec.model_id
    job = TrainingContext(
        spec=spec,
        record=model_spec_of(spec),
        train=find_channel(paths.train, spec.dataset, spec.objects, "objects"),
        validation=find_channel(
            paths.validation, spec.validation_dataset, spec.validation_objects, "validation_objects"
        ),
        paths=paths,
        scratch=scratch,
        cores=cores,
        interruption=interruption,
    )
    train: Callable[[TrainingContext], TrainingResult] = importlib.import_module(_TRAINERS[spec.trainer]).train
    outcome = train(job)
    columns = outcome.checked_columns
    if columns is None:
        columns = check_model(job.record, job.model_path, outcome.sample)
    report = _report(job, outcome, columns, time.monotonic() - started)
    # The report comes last, because a model counts only with its report. A signal after that has no
    # effect.
    with new_file(paths.report) as file:
        file.write(dumps(report).encode())
        interruption.check()
    log_event(
        "training_ended",
        version=spec.version,
        metrics=dict(outcome.metrics),
        seconds=report.seconds,
        model_bytes=report.model_bytes,
    )


def _report(job: TrainingContext, outcome: TrainingResult, columns: tuple[str, ...], seconds: float) -> TrainingReport:
    spec = job.spec
    rows = (outcome.rows_trained, outcome.rows_held_out)
    framework = FRAMEWORK_OF_FORMAT[spec.format]
    try:
        return TrainingReport(
            execution_id=spec.execution_id,
            job_id=spec.job_id,
            model_id=spec.model_id,
            version=spec.version,
            trainer=spec.trainer,
            task=spec.task,
            framework=framework,
            framework_version=installed_version(framework),
            format=spec.format,
            model_file=spec.model_file,
            method=spec.method,
            features=spec.features,
            output_columns=columns,
            metric=spec.metric,
            greater_is_better=spec.greater_is_better,
            metrics=outcome.metrics,
            metric_value=outcome.metrics.get(spec.metric),
            rows_total=None if rows[0] is None or rows[1] is None else rows[0] + rows[1],
            rows_trained=rows[0],
            rows_held_out=rows[1],
            rarest_class_held_out=outcome.rarest_class_held_out,
            best_iteration=outcome.best_iteration,
            seconds=round(seconds, 3),
            resumed_from=outcome.resumed_from,
            estimator=spec.estimator,
            hyperparameters=spec.hyperparameters,
            model_bytes=_size(job.model_path),
        )
    except InvalidInputError as error:
        raise ModelError(f"the trained model cannot be reported: {error}") from error


def installed_version(framework: str) -> str:
    """Return the version of a framework's library in this image; empty if none is installed."""
    for name in _DISTRIBUTIONS.get(framework, (framework,)):
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return ""


def _size(path: Path) -> int:
    """Return the size of a model file, or of all files of a model folder, in bytes."""
    if path.is_dir():
        return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    return path.stat().st_size


def _empty(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _fail(paths: TrainingPaths, kind: FailureKind, text: str) -> None:
    write_failure(paths, kind, text)
    log_event("failed", kind=kind.value, reason=text)
