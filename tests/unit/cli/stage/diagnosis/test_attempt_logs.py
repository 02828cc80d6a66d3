import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from moto.logs.responses import LogsResponse

from cli import main as entry
from cli.stage.connection import Connection
from cli.stage.deployment import Deployment
from cli.stage.diagnosis.attempt_logs import AttemptLogs, LogLine, NewLines
from cli.stage.executions.executions import Executions
from cli.views.diagnosis.log_lines import log_json, log_texts
from contract.log_groups import LOG_GROUPS
from contract.status import AttemptStatus, ExecutionKind, ExecutionStatus, JobStatus, SageMakerKind
from contract.table import records
from contract.table.records import AttemptRecord
from tests.unit.cli.builders import any_attempt, any_execution, any_job, end_in_step_functions, running_job

Captured = pytest.CaptureFixture[str]
NOW = datetime.now(UTC).replace(microsecond=0)
GROUP = LOG_GROUPS[SageMakerKind.PROCESSING]


def attempt_of(job_id: str, number: int = 1, **changes: Any) -> AttemptRecord:
    return any_attempt(job_id, number, started_at=records.record_time(NOW - timedelta(seconds=30)), **changes)


def write(connection: Connection, attempt: AttemptRecord, *lines: tuple[int, str], host: str = "algo-1") -> None:
    """Write lines with their second after NOW."""
    client = connection.client("logs")
    stream = f"{attempt.sagemaker_job_name}/{host}-1772366405"
    groups = client.describe_log_groups(logGroupNamePrefix=GROUP)["logGroups"]
    if not groups:
        client.create_log_group(logGroupName=GROUP)
    if not client.describe_log_streams(logGroupName=GROUP, logStreamNamePrefix=stream)["logStreams"]:
        client.create_log_stream(logGroupName=GROUP, logStreamName=stream)
    events = [{"timestamp": int((NOW.timestamp() + second) * 1000), "message": text} for second, text in lines]
    client.put_log_events(logGroupName=GROUP, logStreamName=stream, logEvents=events)


@pytest.fixture(autouse=True)
def _prefixes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let moto's FilterLogEvents obey logStreamNamePrefix."""
    respond = LogsResponse.filter_log_events

    def with_prefix(self: Any) -> str:
        prefix = self._get_param("logStreamNamePrefix", "")
        answer = json.loads(respond(self))
        answer["events"] = [event for event in answer["events"] if event["logStreamName"].startswith(prefix)]
        return json.dumps(answer)

    monkeypatch.setattr(LogsResponse, "filter_log_events", with_prefix)


@pytest.fixture
def planned(account: Connection, deployment: Deployment) -> Any:
    """Return the table, with an execution of the jobs `ads` and `churn`."""
    Executions(account, deployment).start("{}", "nightly-1")
    table = account.resource("dynamodb").Table(deployment.table_name)
    table.put_item(Item=records.execution_item(any_execution(status=ExecutionStatus.FAILED)))
    for job_id in ("ads", "churn"):
        table.put_item(Item=records.job_item(running_job(job_id, status=JobStatus.FAILED)))
        table.put_item(Item=records.attempt_item(attempt_of(job_id, status=AttemptStatus.FAILED)))
    end_in_step_functions("nightly-1", "FAILED")
    return table


def test_lines_of_several_jobs_are_merged_by_time(planned: Any, account: Connection, capsys: Captured) -> None:
    assert planned is not None
    write(account, attempt_of("ads"), (0, "first"), (2, "third"))
    write(account, attempt_of("churn"), (1, "second\x1b[31m"))
    assert entry.main(["logs", "nightly-1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(" ")[2] for line in lines] == ["ads#1 first", r"churn#1 second\x1b[31m", "ads#1 third"]
    assert lines[0].startswith(records.record_time(NOW))
    assert entry.main(["logs", "nightly-1", "churn", "--json"]) == 0
    [line] = capsys.readouterr().out.splitlines()
    assert json.loads(line)["message"] == "second\x1b[31m"


def test_an_attempt_can_be_chosen_and_hosts_are_named(planned: Any, account: Connection, capsys: Captured) -> None:
    second = attempt_of("ads", 2)
    planned.put_item(Item=records.attempt_item(second))
    write(account, attempt_of("ads"), (0, "of attempt 1"))
    write(account, second, (1, "of attempt 2"))
    write(account, second, (2, "of host 2"), host="algo-2")
    assert entry.main(["logs", "nightly-1", "ads", "--attempt", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(" ")[2] for line in lines] == ["of attempt 2", "algo-2 of host 2"]


def test_following_ends_with_the_execution(
    planned: Any, account: Connection, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert planned is not None
    monkeypatch.setattr("cli.commands.diagnosis.logs._SECONDS_BETWEEN_READS", 0.0)
    write(account, attempt_of("ads"), (0, "only once"))
    assert entry.main(["logs", "nightly-1", "ads", "--follow"]) == 0
    assert capsys.readouterr().out.count("only once") == 1


def test_what_has_no_lines_is_explained(
    planned: Any, account: Connection, deployment: Deployment, capsys: Captured
) -> None:
    assert entry.main(["logs", "nightly-1"]) == 0
    assert f"There are no lines in the log group {GROUP} for dev-churn-" in capsys.readouterr().err
    assert entry.main(["logs", "nightly-1", "churm"]) == 2
    assert (
        "JOB: got 'churm', expected one of the 2 jobs of this execution. Did you mean churn?" in capsys.readouterr().err
    )
    planned.put_item(Item=records.job_item(any_job("later")))
    assert entry.main(["logs", "nightly-1", "later"]) == 0
    assert capsys.readouterr().err == "No SageMaker job was started.\n"
    Executions(account, deployment).start("{}", "refused")
    assert entry.main(["logs", "refused"]) == 2
    assert "refused is being planned and has no jobs yet. Add --follow" in capsys.readouterr().err
    end_in_step_functions("refused", "FAILED")
    assert entry.main(["logs", "refused"]) == 2
    assert "`fleetscore why refused` says why" in capsys.readouterr().err


def test_logs_of_too_many_attempts_are_refused(planned: Any, capsys: Captured) -> None:
    for number in range(60):
        planned.put_item(Item=records.job_item(running_job(f"m-{number}", status=JobStatus.FAILED)))
        planned.put_item(Item=records.attempt_item(attempt_of(f"m-{number}")))
    assert entry.main(["logs", "nightly-1"]) == 2
    assert "the logs of 62 attempts are too many to merge (at most 50). Name a job" in capsys.readouterr().err


class Recorded(AttemptLogs):
    """Logs with prepared lines."""

    def __init__(self) -> None:
        self.lines: list[LogLine] = []
        self.asked: list[tuple[list[str], datetime | None]] = []

    def read(
        self,
        attempts: Sequence[AttemptRecord],
        kind: ExecutionKind,
        *,
        pattern: str = "",
        since: datetime | None = None,
    ) -> Any:
        self.asked.append(([attempt.job_id for attempt in attempts], since))
        return iter([line for line in self.lines if since is None or line.moment >= since])


def line(second: int, event_id: str, message: str = "text") -> LogLine:
    return LogLine(NOW + timedelta(seconds=second), event_id, "ads", 1, "dev-ads-1/algo-1-1772366405", message)


def test_new_lines_are_returned_once_even_if_they_arrive_late() -> None:
    logs = Recorded()
    new_lines = NewLines(logs, ExecutionKind.SCORING, "")
    logs.lines = [line(100, "b")]
    assert [found.event_id for found in new_lines.read([attempt_of("ads")])] == ["b"]
    logs.lines = [line(50, "late"), line(100, "b"), line(101, "c")]
    assert [found.event_id for found in new_lines.read([attempt_of("ads")])] == ["late", "c"]
    assert logs.asked[-1] == (["ads"], NOW + timedelta(seconds=40))


def test_attempts_that_ended_long_ago_are_read_once() -> None:
    logs = Recorded()
    new_lines = NewLines(logs, ExecutionKind.SCORING, "")
    attempts = [attempt_of("ads", ended_at=records.record_time(NOW - timedelta(hours=1))), attempt_of("churn")]
    for _ in range(2):
        assert list(new_lines.read(attempts)) == []
    assert [jobs for jobs, _ in logs.asked] == [["ads", "churn"], ["churn"]]


def test_a_line_cannot_forge_another_one() -> None:
    forged = line(0, "a", "done\n2026-03-01T12:00:00.000Z all is well")
    (shown,) = log_texts(forged, with_job=False, with_host=False)
    assert "\n" not in shown
    assert log_json(forged)["message"] == forged.message


IDENTITY = {"execution": "nightly-1", "job": "churn", "attempt": "1"}


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (
            {"event": "object_scored", "object": "a b.csv", "rows": 3, "models": ["x", "y"]},
            ['object_scored object="a b.csv" rows=3 models=x,y'],
        ),
        ({"event": "output", "text": "epoch 1", "program": "train.py"}, ["train.py| epoch 1"]),
        ({"event": "output", "text": "  done", "worker": 0, "objects": ["a"], "models": ["m"]}, ["worker 0|   done"]),
        (
            {"event": "error", "traceback": "Traceback:\n  File 'a'\nValueError: 7\n", "worker": 1},
            ["error worker=1", "  Traceback:", "    File 'a'", "  ValueError: 7"],
        ),
        (
            {"event": "object_failed", "object": "a", "failures": [{"model": "m", "kind": "DATA", "reason": "no row"}]},
            ["object_failed object=a", "  model m: DATA: no row"],
        ),
        ({"event": "error", "traceback": 7, "failures": "x"}, ["error", "  traceback=7", "  failures=x"]),
    ],
)
def test_events_are_shown_as_text(event: dict[str, Any], expected: list[str]) -> None:
    shown = log_texts(line(0, "a", json.dumps({**event, **IDENTITY})), with_job=True, with_host=False)
    begin = shown[0].partition(expected[0])[0]
    assert [text.removeprefix(begin) for text in shown] == expected
    assert begin.endswith("#1 ")


@pytest.mark.parametrize("message", ["Killed", '{"event": "of another program"}', "{", '{"event": 7}', "[1]"])
def test_other_lines_are_shown_as_they_are(message: str) -> None:
    (shown,) = log_texts(line(0, "a", message), with_job=False, with_host=False)
    assert shown.endswith(f"Z {message}")
