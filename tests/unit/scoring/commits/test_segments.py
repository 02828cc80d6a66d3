"""Commits reach the ledger in few files, none is lost, and none waits for long."""

import errno
from collections.abc import Callable
from pathlib import Path

import pytest

from contract.catalog.model_fields import Feature
from contract.container_paths import ContainerPaths
from contract.job.ledger import (
    MAX_COMMIT_BYTES,
    MAX_SEGMENT_BYTES,
    Commit,
    FormatLoads,
    InstanceTimes,
    Segment,
    read_segment,
)
from contract.planner.estimates import format_class
from scoring.commits import segments
from scoring.commits.segments import CommitTooLongError, SegmentWriter, encode_commit
from scoring.errors import ConfigurationError
from scoring.protocol import WorkerSetup
from tests.unit.scoring.support.model_specs import any_spec

MODELS = tuple(any_spec(Feature("x", "double"), model_id=model_id) for model_id in ("a", "b"))


STARTED_AT = "2026-12-01T02:00:00.000+00:00"


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def writer(tmp_path: Path, clock: Clock) -> SegmentWriter:
    paths = ContainerPaths(tmp_path)
    paths.ledger.mkdir(parents=True)
    (tmp_path / "unfinished").mkdir()
    setup = WorkerSetup("e", "j", 10, "", MODELS, ("", ""), "", "")
    return SegmentWriter(setup, paths, tmp_path / "unfinished", host="algo-1", started_at=STARTED_AT, clock=clock)


def commit(key: str, model_id: str = "a", note: str = "") -> Commit:
    return Commit(model_id, key, "etag", 1, 1, 0, (), notes=(note,))


def written(tmp_path: Path) -> list[Segment]:
    files = sorted(ContainerPaths(tmp_path).ledger.iterdir(), key=lambda path: path.stat().st_mtime_ns)
    return [read_segment(path.name, path.read_bytes()) for path in files]


def keys(tmp_path: Path) -> list[list[str]]:
    return [[commit.object for commit in segment.commits()] for segment in written(tmp_path)]


def test_commits_of_one_second_share_a_segment(tmp_path: Path, writer: SegmentWriter, clock: Clock) -> None:
    for number in range(3):
        clock.now = number * 0.4
        writer.add([encode_commit(commit(str(number)))])
        writer.write_due(is_idle=False)
    assert keys(tmp_path) == []
    clock.now = 1.0
    writer.write_due(is_idle=False)
    writer.write_due(is_idle=False)
    assert keys(tmp_path) == [["0", "1", "2"]]
    assert written(tmp_path)[0].header.models == {"a": MODELS[0].version}
    assert list((tmp_path / "unfinished").iterdir()) == []


def test_a_segment_says_what_its_instance_has_measured(tmp_path: Path, writer: SegmentWriter) -> None:
    # A worker may say anything: another number of models, or an impossible time.
    for seconds in ((1.0,), (1.0, float("nan")), (1.0, -1.0), (0.25, 0.5), (9.0, 9.0)):
        writer.record_loads(seconds)
    writer.add([encode_commit(commit("a"))])
    writer.close()
    name = format_class(MODELS[0].format, MODELS[0].artifact_bytes)
    times = InstanceTimes(STARTED_AT, (FormatLoads(name, 2, 0.75),))
    assert written(tmp_path)[0].header.times == times


def test_commits_of_a_long_run_wait_for_a_fiftieth_of_it(tmp_path: Path, writer: SegmentWriter, clock: Clock) -> None:
    clock.now = 1_000.0
    writer.add([encode_commit(commit("a"))])
    clock.now = 1_020.0
    writer.write_due(is_idle=False)
    assert keys(tmp_path) == []
    clock.now = 1_021.0
    writer.write_due(is_idle=False)
    assert keys(tmp_path) == [["a"]]


def test_no_commit_waits_longer_than_five_minutes(tmp_path: Path, writer: SegmentWriter, clock: Clock) -> None:
    clock.now = 5 * 86_400.0
    writer.add([encode_commit(commit("a"))])
    clock.now += 301
    writer.write_due(is_idle=False)
    assert keys(tmp_path) == [["a"]]


def test_a_run_of_five_days_writes_at_most_two_thousand_segments(
    tmp_path: Path, writer: SegmentWriter, clock: Clock
) -> None:
    number = 0
    while clock.now < 5 * 86_400:
        # An object takes a fifth of what has passed, or ten seconds; the loop of the supervisor looks in between.
        clock.now += max(10.0, clock.now / 250)
        number += 1
        writer.add([encode_commit(commit(str(number)))])
        writer.write_due(is_idle=False)
    assert 200 < len(keys(tmp_path)) < 2_000


def test_waiting_commits_are_written_when_there_is_nothing_else_to_do(tmp_path: Path, writer: SegmentWriter) -> None:
    writer.write_due(is_idle=True)
    assert keys(tmp_path) == []
    writer.add([encode_commit(commit("a", "b"))])
    writer.write_due(is_idle=True)
    assert keys(tmp_path) == [["a"]]
    assert written(tmp_path)[0].header.models == {"b": MODELS[1].version}


@pytest.mark.parametrize("limit", ["_FULL_COMMITS", "_FULL_BYTES"])
def test_a_full_segment_is_written_at_once(
    tmp_path: Path, writer: SegmentWriter, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    monkeypatch.setattr(segments, limit, 3 if limit == "_FULL_COMMITS" else 3 * len(encode_commit(commit("0")).line))
    writer.add([encode_commit(commit(str(number))) for number in range(7)])
    assert keys(tmp_path) == [["0", "1", "2"], ["3", "4", "5"]]
    writer.close()
    assert keys(tmp_path)[2:] == [["6"]]


def test_segments_of_the_longest_commits_can_be_read(tmp_path: Path, writer: SegmentWriter) -> None:
    note = "x" * (MAX_COMMIT_BYTES - 200)
    writer.add([encode_commit(commit(str(number), note=note)) for number in range(9)])
    writer.close()
    assert [key for found in keys(tmp_path) for key in found] == [str(number) for number in range(9)]
    assert max(path.stat().st_size for path in ContainerPaths(tmp_path).ledger.iterdir()) < MAX_SEGMENT_BYTES
    with pytest.raises(CommitTooLongError):
        encode_commit(commit("a", note="x" * MAX_COMMIT_BYTES))


def fail(_: object) -> None:
    raise OSError(errno.ENOSPC, "full")


def test_commits_that_cannot_be_written_wait_and_are_written_later(
    tmp_path: Path, writer: SegmentWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segments, "_FULL_COMMITS", 2)
    place: Callable[..., None] = segments.move_into_place
    monkeypatch.setattr(segments, "move_into_place", fail)
    writer.add([encode_commit(commit(str(number))) for number in range(5)])
    writer.write_due(is_idle=True)
    with pytest.raises(ConfigurationError, match=r"the ledger cannot be written .*raise the job's volume size"):
        writer.close()
    assert keys(tmp_path) == []
    monkeypatch.setattr(segments, "move_into_place", place)
    writer.close()
    assert keys(tmp_path) == [["0", "1"], ["2", "3"], ["4"]]
