import json

import pytest

from contract.problems import InvalidInputError
from contract.workflow.request_size import MAX_REQUEST_BYTES, check_request_size, request_bytes
from contract.workflow.scoring_request import parse_request
from contract.workflow.training_request import parse_training_request


def request_of(size: int) -> dict[str, list[str]]:
    """Return a request whose compact JSON has this many bytes."""
    ids = [f"model-{number:06d}" for number in range(size // 15 - 1)]
    ids[-1] += "x" * (size - request_bytes({"models": ids}))
    return {"models": ids}


def test_the_largest_request_is_accepted_and_one_byte_more_is_refused() -> None:
    assert check_request_size(request_of(MAX_REQUEST_BYTES)) == []
    [problem] = check_request_size(request_of(MAX_REQUEST_BYTES + 1))
    assert str(problem).startswith("size: got '225,001 bytes', expected at most 225,000 bytes as JSON")
    assert '{"models": {"tags": {…}}}' in str(problem)


def test_bytes_count_not_characters() -> None:
    assert len(json.dumps({"models": ["ü" * 150_000]}, ensure_ascii=False)) < MAX_REQUEST_BYTES
    assert check_request_size({"models": ["ü" * 150_000]}) != []


@pytest.mark.parametrize("parse", [parse_request, parse_training_request])
def test_scoring_and_training_refuse_a_large_request_beside_its_other_problems(parse) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(InvalidInputError) as raised:
        parse({**request_of(240_000), "max_concurrency": 0})
    assert [problem.field for problem in raised.value.problems] == ["size", "max_concurrency"]
