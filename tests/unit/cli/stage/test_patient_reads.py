"""Reads outlast throttling and a lost network, and end with a final error."""

from collections.abc import Callable

import pytest
from botocore.exceptions import BotoCoreError, ClientError, EndpointConnectionError, SSLError

from cli.stage.patient_reads import PatientReads


def client_error(code: str, status: int = 400) -> ClientError:
    answer = {"Error": {"Code": code, "Message": "why"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(answer, "DescribeExecution")  # type: ignore[arg-type]


LOST = EndpointConnectionError(endpoint_url="https://states.eu-central-1.amazonaws.com")


def failing(*errors: Exception) -> Callable[[], str]:
    """Return a call that raises these errors in order, and then succeeds."""
    left = list(errors)

    def call() -> str:
        if left:
            raise left.pop(0)
        return "read"

    return call


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (client_error("ThrottlingException"), "AWS throttles DescribeExecution (ThrottlingException). The next try is"),
        (client_error("InternalFailure", 500), "AWS could not answer DescribeExecution (InternalFailure)."),
        (client_error("SlowDown", 503), "AWS throttles DescribeExecution (SlowDown)."),
        (LOST, "AWS cannot be reached (Could not connect to the endpoint URL"),
    ],
    ids=str,
)
def test_pauses_grow_until_a_read_succeeds(error: Exception, line: str) -> None:
    lines: list[str] = []
    pauses: list[float] = []
    assert PatientReads(lines.append, pauses.append).read(failing(*[error] * 7)) == "read"
    assert pauses == [5, 10, 20, 40, 80, 120, 120]
    assert len(lines) == 7
    assert lines[0].startswith(line)
    assert lines[-1].endswith("in 120 seconds; Ctrl-C ends waiting.")


def test_each_read_begins_with_the_shortest_pause() -> None:
    pauses: list[float] = []
    reads = PatientReads(lambda _: None, pauses.append)
    for _ in range(2):
        reads.read(failing(LOST, LOST))
    assert pauses == [5, 10, 5, 10]


@pytest.mark.parametrize(
    "error",
    [
        client_error("AccessDeniedException"),
        client_error("ExpiredTokenException"),
        client_error("ResourceNotFoundException"),
        SSLError(endpoint_url="https://127.0.0.1", error="untrusted"),
    ],
    ids=str,
)
def test_a_final_error_is_raised_at_once(error: Exception) -> None:
    lines: list[str] = []
    with pytest.raises((ClientError, BotoCoreError)):
        PatientReads(lines.append, lambda _: None).read(failing(error))
    assert lines == []
