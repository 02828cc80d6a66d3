"""The ledger: one commit per object and model, in segments that are written after the outputs.

SageMaker uploads outputs in no particular order. So a commit lists its outputs with size and
checksum, and verification finds a commit whose outputs did not arrive.

A segment is a text of JSON Lines that never changes: a header, then one commit per line.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from contract import codec, layout
from contract.json_text import JsonError, dump_json, parse_json
from contract.layout import OutputKind
from contract.problems import InvalidInputError, Problem

MAX_COMMIT_BYTES = 1 << 20
"""Longest line of a commit, in bytes. Most have a few hundred; the rest are notes."""
MAX_SEGMENT_BYTES = 8 << 20
"""Largest segment, in bytes."""
MAX_SECONDS = 1e9
"""Largest `Commit.seconds`: more than all threads of an instance in the longest job."""
_SHOWN_BYTES = 200


@dataclass(frozen=True)
class OutputFile:
    """One file of the job's output; `key` is relative to the job's own prefix of this kind:
    see `layout.output_key`."""

    kind: OutputKind
    key: str
    bytes: int
    crc64nvme: str
    """CRC64NVME of the content in Base64, as S3 shows it."""


@dataclass(frozen=True)
class KeyReport:
    """Counts of repeated keys and nulls in an object's key columns."""

    rows: int
    """Rows that were examined. The number is limited to bound memory, so it may be less than all
    rows."""
    duplicates: int
    """Rows with the same key as an earlier row."""
    nulls: int
    """Rows with a null in at least one key column; these are not compared."""


@dataclass(frozen=True)
class Commit:
    """Commit of an object for one model or one fleet.

    `rows_in` is always `rows_scored + rows_quarantined + rows_skipped`.
    """

    model_id: str
    object: str
    """Key of the object, relative to the dataset's prefix."""
    etag: str
    """ETag of the object as the plan pinned it."""
    rows_in: int
    rows_scored: int
    rows_quarantined: int
    outputs: tuple[OutputFile, ...]
    writer: str = ""
    """Writer of the predictions, and the reason for its choice."""
    keys: KeyReport | None = None
    """None if the model's record names no key columns."""
    notes: tuple[str, ...] = ()
    """Notes on loading the model (library warnings, an accelerator, custom code), and on columns
    that could be read in two ways.
    """
    counts: Mapping[str, int] = field(default_factory=dict)
    """Notes about values, each with the number of values."""
    rows_skipped: int = 0
    """Rows that are in no output, because no model of the fleet has their route."""
    seconds: float = 0.0
    """Seconds that a thread of a worker was busy with the object for this model; 0 if unknown.

    What the job's models have in common, such as decoding, is divided evenly between them.
    """

    def __post_init__(self) -> None:
        parts = (self.rows_scored, self.rows_quarantined, self.rows_skipped)
        if self.rows_in != sum(parts) or min(parts) < 0:
            value = f"{self.rows_in} != {' + '.join(map(str, parts))}"
            expected = "rows_in = rows_scored + rows_quarantined + rows_skipped"
            raise InvalidInputError("Commit", [Problem("rows_in", value, expected)])
        if not 0 <= self.seconds <= MAX_SECONDS:
            expected = f"a number between 0 and {MAX_SECONDS:,.0f}"
            raise InvalidInputError("Commit", [Problem("seconds", self.seconds, expected)])


@dataclass(frozen=True)
class FormatLoads:
    """Time to load models of one format and about one size."""

    name: str
    """Format and class of sizes, such as `onnx/10KB`."""
    models: int
    seconds: float
    """Time of all of them, in one worker."""


@dataclass(frozen=True)
class InstanceTimes:
    """What an instance has measured until it scored."""

    started_at: str
    """Start of its container, by its clock: ISO 8601 in UTC."""
    loads: tuple[FormatLoads, ...] = ()
    """Empty for a fleet, whose models are loaded when they are needed."""


@dataclass(frozen=True)
class SegmentHeader:
    """The first line of a segment: the models whose commits follow."""

    execution_id: str
    job_id: str
    models: Mapping[str, str]
    """Version of each model that has a commit in the segment, by id."""
    host: str = ""
    """Instance that wrote the segment; empty when it is unknown."""
    times: InstanceTimes | None = None


@dataclass(frozen=True)
class Segment:
    """A segment whose content matches its name."""

    name: str
    header: SegmentHeader
    _lines: Sequence[bytes]

    def commits(self) -> Iterator[Commit]:
        """Yield the commits, in the order in which they were written.

        Raises:
            InvalidInputError: when a line is not a commit of a model that the header names.
        """
        for number, line in enumerate(self._lines, 2):
            subject = f"line {number:,} of {self.name}"
            try:
                value = parse_json(line, max_bytes=MAX_COMMIT_BYTES)
            except JsonError as error:
                problem = Problem("commit", line[:_SHOWN_BYTES], f"JSON text, but {error}")
                raise InvalidInputError(subject, [problem]) from error
            commit = codec.from_value(Commit, value, subject=subject)
            if commit.model_id not in self.header.models:
                raise InvalidInputError(subject, [Problem("model_id", commit.model_id, "a model of the header")])
            yield commit


def commit_line(commit: Commit) -> bytes:
    """Return a commit as a line of a segment."""
    return _line(codec.to_value(commit))


def segment_content(header: SegmentHeader, lines: Sequence[bytes]) -> tuple[str, bytes]:
    """Return the name and the content of the segment with these lines of commits."""
    content = b"".join([_line(codec.to_json(header)), *lines])
    return layout.segment_name(len(lines), content), content


def read_segment(name: str, content: bytes) -> Segment:
    """Return the segment of this name, whose commits are not parsed yet.

    Raises:
        InvalidInputError: when the content does not fit the name, or is of another release.
    """
    commits = layout.commits_in_segment(name)
    header, *lines = content.removesuffix(b"\n").split(b"\n") if commits else [b""]
    if not commits or layout.segment_name(commits, content) != name or len(lines) != commits:
        expected = "the number of commits and the digest that the name says"
        raise InvalidInputError(name, [Problem("content", f"{len(content):,} bytes", expected)])
    return Segment(name, codec.loads(SegmentHeader, header, subject=f"the header of {name}"), lines)


def _line(value: object) -> bytes:
    return dump_json(value, separators=(",", ":"), allow_nan=False).encode() + b"\n"
