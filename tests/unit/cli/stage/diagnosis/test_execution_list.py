import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cli import main as entry
from cli.stage.connection import Connection
from cli.stage.deployment import Deployment
from cli.stage.diagnosis.execution_list import ExecutionList, ListChoice
from cli.stage.executions.executions import Executions
from contract.status import ExecutionKind, ExecutionStatus
from contract.table import records
from tests.unit.cli.builders import any_execution, end_in_step_functions

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
Captured = pytest.CaptureFixture[str]


@pytest.fixture
def table(connection: Connection, deployment: Deployment) -> Any:
    return connection.resource("dynamodb").Table(deployment.table_name)


@pytest.fixture
def executions(connection: Connection, deployment: Deployment) -> ExecutionList:
    return ExecutionList(connection, deployment)


def put(table: Any, name: str, hour: int, **changes: Any) -> None:
    started = records.record_time(START + timedelta(hours=hour))
    fields = {"status": ExecutionStatus.SUCCEEDED, **changes}
    table.put_item(Item=records.execution_item(any_execution(execution_id=name, started_at=started, **fields)))


def names(found: list[Any]) -> list[str]:
    return [listed.execution_id for listed in found]


def test_the_newest_executions_come_first(executions: ExecutionList, table: Any) -> None:
    for hour in range(5):
        put(table, f"e-{hour}", hour)
    assert names(executions.read(ListChoice(), 3)) == ["e-4", "e-3", "e-2"]


def test_executions_are_chosen_by_status_label_period_and_kind(executions: ExecutionList, table: Any) -> None:
    put(table, "old", 0, label="nightly")
    put(table, "failed", 1, label="nightly", status=ExecutionStatus.FAILED)
    put(table, "trained", 2, kind=ExecutionKind.TRAINING)
    put(table, "new", 3)
    assert names(executions.read(ListChoice(label="nightly"), 9)) == ["failed", "old"]
    assert names(executions.read(ListChoice(status="FAILED"), 9)) == ["failed"]
    assert names(executions.read(ListChoice(kind=ExecutionKind.TRAINING), 9)) == ["trained"]
    since, until = START + timedelta(hours=1), START + timedelta(hours=2)
    assert names(executions.read(ListChoice(since=since, until=until), 9)) == ["trained", "failed"]


def test_a_list_ends_with_the_page_that_has_enough(
    executions: ExecutionList, table: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for hour in range(6):
        put(table, f"e-{hour}", hour)
    pages = []
    query = executions._table.meta.client.query

    def one_item_per_page(**arguments: Any) -> Any:
        pages.append(arguments)
        return query(**{**arguments, "Limit": 1})

    monkeypatch.setattr(executions._table.meta.client, "query", one_item_per_page)
    assert names(executions.read(ListChoice(), 2)) == ["e-5", "e-4"]
    assert [page["Limit"] for page in pages] == [25, 50], "a search that goes on reads larger pages"


def test_step_functions_says_whether_an_execution_was_stopped_or_has_no_record_yet(
    executions: ExecutionList, table: Any, connection: Connection, deployment: Deployment
) -> None:
    started = Executions(connection, deployment)
    for name in ("stopped", "planning"):
        started.start("{}", name)
    now = records.record_time(datetime.now(UTC))
    record = any_execution(execution_id="stopped", started_at=now, status=ExecutionStatus.FAILED)
    table.put_item(Item=records.execution_item(record))
    end_in_step_functions("stopped", "ABORTED")
    found = executions.read(ListChoice(), 9)
    assert {listed.execution_id: listed.status for listed in found} == {"stopped": "ABORTED", "planning": "RUNNING"}
    assert names(executions.read(ListChoice(status="ABORTED"), 9)) == ["stopped"]
    assert names(executions.read(ListChoice(status="RUNNING"), 9)) == ["planning"]


@pytest.mark.usefixtures("account")
def test_list_prints_a_table_or_json(table: Any, capsys: Captured) -> None:
    assert entry.main(["list"]) == 0
    assert capsys.readouterr().out == "No such executions. Start one with `fleetscore run`.\n"
    put(table, "nightly-1", 0, label="nightly", resumes="nightly-0", ended_at="2026-03-01T13:02:00.000Z", jobs_failed=1)
    assert entry.main(["list", "--since", "2026-03-01", "--status", "succeeded"]) == 0
    heading, line = capsys.readouterr().out.splitlines()
    assert heading.split() == ["execution", "status", "started", "took", "jobs", "failed", "resumes", "label"]
    for part in ("nightly-1", "SUCCEEDED", "2026-03-01 12:00:00 UTC", "1 h 2 min", "nightly-0", "nightly"):
        assert part in line
    assert entry.main(["list", "--json", "--last", "1"]) == 0
    [shown] = json.loads(capsys.readouterr().out)
    assert (shown["execution_id"], shown["seconds"], shown["jobs"], shown["jobs_failed"]) == ("nightly-1", 3720, 2, 1)


@pytest.mark.parametrize("words", [["--since", "yesterday"], ["--last", "0"], ["--status", "LOST"]])
def test_wrong_choices_are_usage_errors(words: list[str], capsys: Captured) -> None:
    assert entry.main(["list", *words]) == 2
    assert "Usage: fleetscore list" in capsys.readouterr().err
