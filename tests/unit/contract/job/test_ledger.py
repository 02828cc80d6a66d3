import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract import layout
from contract.job.ledger import Commit, SegmentHeader, commit_line, read_segment, segment_content
from contract.problems import InvalidInputError
from tests.unit.contract.strategies import commits, texts

HEADER = SegmentHeader("nightly-1", "delays-ua", {"delays-ua": "3"}, "algo-1")
COMMIT = Commit("delays-ua", "2026/07.parquet", "0f", 10, 10, 0, ())


@given(st.lists(commits(), min_size=1, max_size=5), texts)
def test_commits_of_a_segment_are_read_as_they_were_written(written: list[Commit], host: str) -> None:
    header = SegmentHeader("e", "j", {commit.model_id: "1" for commit in written}, host)
    name, content = segment_content(header, [commit_line(commit) for commit in written])
    assert layout.commits_in_segment(name) == len(written)
    assert content.count(b"\n") == 1 + len(written)
    segment = read_segment(name, content)
    assert (segment.name, segment.header) == (name, header)
    assert list(segment.commits()) == written


def test_other_instances_and_attempts_write_other_segments() -> None:
    lines = [commit_line(COMMIT)]
    headers = (HEADER, SegmentHeader("nightly-1", "delays-ua", {"delays-ua": "3"}, "algo-2"))
    assert len({segment_content(header, lines)[0] for header in headers}) == 2
    assert segment_content(HEADER, lines) == segment_content(HEADER, lines)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"", "it is not JSON"),
        (b"[]", "a JSON object"),
        (b'{"model_id": "delays-ua"}', "object: got nothing"),
        (commit_line(COMMIT).replace(b'"rows_in":10', b'"rows_in":11'), "11 != 10"),
        (commit_line(COMMIT).replace(b'"rows_in":10', b'"rows_in":10,"rows_in":10'), "twice"),
        (
            commit_line(COMMIT).replace(b"delays-ua", b"victim"),
            "model_id: got 'victim', expected a model of the header",
        ),
    ],
)
def test_a_line_that_is_no_commit_is_refused_by_number(line: bytes, expected: str) -> None:
    name, content = segment_content(HEADER, [commit_line(COMMIT), line.removesuffix(b"\n") + b"\n"])
    segment = read_segment(name, content)
    with pytest.raises(InvalidInputError, match=expected) as refused:
        list(segment.commits())
    assert f"line 3 of {name}" in str(refused.value)


def test_content_that_does_not_fit_the_name_is_refused() -> None:
    name, content = segment_content(HEADER, [commit_line(COMMIT)])
    for wrong in (name.replace("1-", "2-"), "1.jsonl", f"1-{'0' * 32}.jsonl"):
        with pytest.raises(InvalidInputError, match="the number of commits and the digest that the name says"):
            read_segment(wrong, content)
