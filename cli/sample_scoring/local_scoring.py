"""Scoring of a sample as in a job, in a folder with the layout of /opt/ml."""

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from cli.failures import CommandError, ExitStatus
from cli.sample_scoring import sample
from cli.sample_scoring.container_process import require_container_code, run_container_code
from cli.sample_scoring.sample import Preview
from contract import codec
from contract.catalog.model_spec import ModelSpec, assumptions
from contract.catalog.models import ModelVersion
from contract.container_paths import ContainerPaths
from contract.dataset.formats import extension_of, other_format
from contract.job.ledger import read_segment
from contract.job.notes import counted_note
from contract.job.scoring_spec import JobSpec, PinnedObject
from contract.job.snapshot import Snapshot
from contract.layout import artifact_key
from contract.problems import InvalidInputError, Problem
from contract.status import FailureKind

_EXECUTION = "models-test"
_SHOWN_LOG_LINES = 200
_UNEXPLAINED = f"{FailureKind.UNKNOWN.value}:"
_TRACEBACK = "Traceback (most recent call last):"
_AROUND_TRACEBACKS = (
    "The above exception was the direct cause of the following exception:",
    "During handling of the above exception, another exception occurred:",
    "scoring.errors.",
    "Detail: ",
)
"""Beginnings of the other lines that the container's code writes about an error."""
_SEE_LOG = "the job's log"
"""Part of the messages that leave out values of the data, which only the log has."""


class ScoringFailedError(CommandError):
    """The container's code ended with an error.

    `log` is the standard error of the code and the model. `explained` is whether the message is
    enough without the log's tracebacks.
    """

    def __init__(self, text: str, log: str, *, explained: bool) -> None:
        super().__init__(text, ExitStatus.FAILED)
        self.log = log
        self.explained = explained


@dataclass(frozen=True)
class LocalScore:
    """The predictions, and the standard error of code and model, such as warnings."""

    preview: Preview
    log: str
    notes: tuple[str, ...] = ()
    """Assumptions of scoring, and the ledger's notes on loading the model and reading columns."""


def check_sample(path: Path) -> None:
    """Check that a sample exists, before anything is downloaded.

    Raises:
        InvalidInputError: when the sample does not exist.
    """
    if not path.is_file():
        raise InvalidInputError("sample", [Problem("sample", str(path), "a file that exists")])


def score_sample(version: ModelVersion, artifact: Path, path: Path, *, rows: int) -> LocalScore:
    """Score a file with a model version and return the first `rows` rows of the predictions.

    Raises:
        ScoringFailedError: with the container's exit message.
    """
    require_container_code()
    with tempfile.TemporaryDirectory(prefix="fleetscore-test-") as folder:
        root = Path(folder) / "ml"
        root.mkdir()
        root.chmod(0o755)  # the container's code may switch users
        paths = ContainerPaths(root)
        _lay_out(paths, version, artifact, path, object_key(path, version.spec))
        ended = run_container_code("scoring", root=root, readable=[path, artifact])
        log = "\n".join(ended.stderr.splitlines()[-_SHOWN_LOG_LINES:])
        if ended.returncode != 0:
            message = _exit_message(paths)
            explained = bool(message) and not message.startswith(_UNEXPLAINED) and _SEE_LOG not in message
            message = message or f"The container's code ended with exit code {ended.returncode}."
            text = f"Scoring with {version.spec.model_id}, version {version.spec.version}, failed. {message}"
            raise ScoringFailedError(text, log, explained=explained)
        made = next((file for file in paths.predictions.rglob("*") if file.is_file()), None)
        [segment] = [read_segment(file.name, file.read_bytes()) for file in paths.ledger.iterdir() if file.is_file()]
        [commit] = segment.commits()
        counted = (counted_note(note, count) for note, count in commit.counts.items())
        notes = (*assumptions(version.spec), *commit.notes, *counted)
        # A sample without data has no predictions.
        shown = sample.preview(made, path, version.spec, rows) if made else Preview(0, {}, (), ())
        return LocalScore(shown, log, notes)


def without_tracebacks(log: str, *, keep_texts: bool = False) -> str:
    r"""Return a log without errors: tracebacks and, unless `keep_texts`, the texts of their exceptions.

    >>> without_tracebacks("loading\nTraceback (most recent call last):\n  File ...\nValueError: no\nended")
    'loading\nended'
    >>> without_tracebacks("Traceback (most recent call last):\n  File ...\nValueError: no", keep_texts=True)
    'ValueError: no'
    """
    kept: list[str] = []
    inside = False
    for line in log.splitlines():
        before, traceback, _ = line.partition(_TRACEBACK)
        if traceback:
            inside = True
            # The model may have written a line without its end.
            kept += [before] if before else []
        elif inside:
            # The exception's text follows the indented lines. A blank line precedes a chained
            # traceback.
            inside = line.startswith(" ") or not line
            kept += [line] if keep_texts and not inside else []
        elif keep_texts or not line.startswith(_AROUND_TRACEBACKS):
            kept.append(line)
    return "\n".join(kept).strip("\n")


def object_key(path: Path, spec: ModelSpec) -> str:
    """Return the object key for a sample.

    Its name and its folders are those of an object in the dataset.
    """
    folders = [part for part in path.resolve().parts[:-1] if part.partition("=")[0] in spec.partition_columns]
    extension = extension_of(path.name) or (path.suffix if other_format(path.name) else "")
    return "/".join([*folders, f"sample{extension}"])


def _lay_out(paths: ContainerPaths, version: ModelVersion, artifact: Path, path: Path, key: str) -> None:
    pinned = PinnedObject(key, path.stat().st_size, "this-machine")
    snapshot = Snapshot(version.dataset, "this-machine", (pinned,))
    spec = JobSpec(
        execution_id=_EXECUTION,
        job_id=version.spec.model_id,
        dataset=snapshot.dataset,
        dataset_bucket=snapshot.dataset_bucket,
        # The preview reads Parquet, so the output format of the record does not apply.
        models=(replace(version.spec, output_format="parquet", csv_formulas="keep"),),
        snapshot=snapshot.write(paths.snapshot),
    )
    target = paths.models / artifact_key(version.spec.model_id, version.spec.version)
    for folder in (paths.spec.parent, (paths.data / key).parent, target.parent):
        folder.mkdir(parents=True)
    paths.spec.write_text(codec.dumps(spec), encoding="utf-8")
    # Links instead of copies, because samples and artifacts may be large.
    (paths.data / key).symlink_to(path.resolve())
    target.symlink_to(artifact.resolve())


def _exit_message(paths: ContainerPaths) -> str:
    try:
        return paths.exit_message.read_text(encoding="utf-8")
    except OSError:
        return ""
