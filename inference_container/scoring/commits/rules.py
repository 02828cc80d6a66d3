"""Checks a worker's description of an object before the object is committed.

Model code runs in the worker and may send any message. So a description is compared with the job's
spec, and paths come from the spec.
"""

import re

from contract.catalog.model_spec import ModelSpec, tolerated_rows
from contract.catalog.routes import SKIP
from contract.job.ledger import MAX_SECONDS, KeyReport
from scoring.errors import ModelError
from scoring.protocol import MergeParts, ObjectTask, ObjectWritten, WorkerSetup, WrittenFile, WrittenOutput

_CRC64NVME = re.compile("[A-Za-z0-9+/]{10}[AEIMQUYcgkosw048]=")
"""Base64 of 8 bytes."""
_FOLDER = re.compile("[0-9]{1,12}")
_MAX_COUNT = 1 << 62
_MAX_WRITER_CHARACTERS = 2_000
_MAX_NOTES = 100
_MAX_NOTE_CHARACTERS = 4_000
_SHOWN_CHARACTERS = 200
"""Longest text of a worker in the log."""
_REMEDY = "code in the artifact must not change Fleetscore's files and messages, register a version that does not"


class BrokenRuleError(ModelError):
    """What a worker wrote or said breaks a rule, so nothing of the object is committed."""

    def __init__(self, key: str, what: str, model: ModelSpec | None = None, detail: str = "") -> None:
        """`what` has no text of the worker, which may be a value of the data."""
        name = f", model {model.model_id!r} version {model.version!r}" if model else ""
        super().__init__(f"object {key!r}{name}: {what}: {_REMEDY}", detail)


def checked_outputs(
    setup: WorkerSetup, task: ObjectTask, written: ObjectWritten, folder: str
) -> list[tuple[ModelSpec, WrittenOutput]]:
    """Return the outputs of an object, each with its model's spec; `folder` is the name of theirs.

    Raises BrokenRuleError.
    """
    key = task.object.key
    if not _FOLDER.fullmatch(folder):
        raise BrokenRuleError(key, "the name of its folder is not a number", detail=folder[:_SHOWN_CHARACTERS])
    by_id = {spec.model_id: spec for spec in setup.models}
    due = set(by_id) - set(task.failed_models if isinstance(task, MergeParts) else ())
    failed = {failure.model_id for failure in written.failures}
    found = [output.model_id for output in written.outputs]
    if unknown := (set(found) | failed - {""}) - due:
        shown = ", ".join(sorted(map(repr, unknown)))[:_SHOWN_CHARACTERS]
        raise BrokenRuleError(key, "the worker has results of models that it did not have to score", detail=shown)
    if len(set(found)) != len(found) or set(found) & failed or ("" in failed and found):
        raise BrokenRuleError(key, "the worker has several results for one model, expected one")
    if "" not in failed and (missing := due - set(found) - failed):
        shown = ", ".join(sorted(map(repr, missing)))[:_SHOWN_CHARACTERS]
        raise BrokenRuleError(key, f"the worker has no result of {shown}, expected an output or a failure")
    outputs = [(by_id[output.model_id], output) for output in written.outputs]
    for spec, output in outputs:
        if problem := _problem(spec, output, skips=setup.fleet is not None and setup.fleet.spec.unmatched == SKIP):
            raise BrokenRuleError(key, problem, spec)
    if setup.output_layout == "joined" and outputs:
        if len({(output.predictions, output.rows_in) for _, output in outputs}) > 1:
            raise BrokenRuleError(key, "the models of a joined output must have the same file and rows")
        if failed and not setup.joined_nulls:
            raise BrokenRuleError(key, "a joined output must have predictions of every model")
    return outputs


def _problem(spec: ModelSpec, output: WrittenOutput, *, skips: bool) -> str:  # noqa: PLR0911 - one return per rule
    counts = (output.rows_in, output.rows_scored, output.rows_quarantined, output.rows_skipped)
    if not all(0 <= count <= _MAX_COUNT for count in counts):
        return "it reports an impossible number of rows"
    if not 0 <= output.seconds <= MAX_SECONDS:
        return "it reports an impossible time"
    if output.rows_in != output.rows_scored + output.rows_quarantined + output.rows_skipped:
        return "the rows that it read are not those that it scored, plus those in quarantine, plus those skipped"
    if output.rows_skipped and not skips:
        return "it has skipped rows, which only a fleet may do, and only if its record says so"
    rows = output.rows_in - output.rows_skipped
    if output.rows_quarantined > tolerated_rows(spec.tolerated_quarantine_fraction, rows):
        return "it has more rows in quarantine than tolerated"
    if (output.quarantine is None) != (output.rows_quarantined == 0):
        return "it must have a quarantine file if there are rows in quarantine, and only then"
    if output.predictions is None and output.rows_in:
        return "it must have a file of predictions if the object has rows"
    if not all(_is_valid(file) for file in (output.predictions, output.quarantine) if file is not None):
        return "it describes a file without a size and a CRC64NVME"
    if (output.keys is not None) != bool(spec.key_columns) or not _is_plausible(output.keys, output.rows_in):
        return "its report of the key columns has impossible numbers"
    if not all(0 <= count <= _MAX_COUNT for count in output.counts.values()):
        return "it has a note with an impossible number of values"
    notes = (*output.notes, *output.counts)
    if len(notes) > _MAX_NOTES or any(len(note) > _MAX_NOTE_CHARACTERS for note in notes):
        return f"it has more or longer notes than {_MAX_NOTES} of {_MAX_NOTE_CHARACTERS:,} characters"
    if len(output.writer) > _MAX_WRITER_CHARACTERS:
        return f"its writer has more than {_MAX_WRITER_CHARACTERS:,} characters"
    return ""


def _is_valid(file: WrittenFile) -> bool:
    return 0 <= file.bytes <= _MAX_COUNT and bool(_CRC64NVME.fullmatch(file.crc64nvme))


def _is_plausible(keys: KeyReport | None, rows: int) -> bool:
    return keys is None or all(0 <= count <= rows for count in (keys.rows, keys.duplicates, keys.nulls))
