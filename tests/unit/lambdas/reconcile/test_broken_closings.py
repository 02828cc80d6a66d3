"""A closing that is broken off between any two of its writes: the schedule completes it."""

from typing import Any

import pytest
from botocore.client import BaseClient
from botocore.exceptions import ClientError

from contract import layout
from contract.status import FINAL_EXECUTION_STATUSES, ExecutionStatus
from contract.table.latest_predictions import LATEST_PARTITIONS
from tests.unit.lambdas.builders import Stage, summary_event
from tests.unit.lambdas.reconcile.test_reconcile import SCHEDULED, Step, sagemaker, scored, workflow

__all__ = ["sagemaker", "scored", "workflow"]

WRITES = ("PutItem", "UpdateItem", "PutObject")
COUNT = 6
"""Writes of a closing: open the record, close it, the summary, the pointer in table and bucket, and the end."""


def break_off(patch: pytest.MonkeyPatch, number: int) -> None:
    """Let the write of this number fail before it happens."""
    call, written = BaseClient._make_api_call, list[str]()

    def fail_once(client: BaseClient, operation: str, fields: dict[str, Any]) -> Any:
        # What is learned is written in transactions too, and a closing goes on without it.
        if operation in WRITES or (operation == "TransactWriteItems" and LATEST_PARTITIONS in str(fields)):
            written.append(operation)
            if len(written) == number:
                raise ClientError({"Error": {"Code": "InternalServerError"}}, operation)
        return call(client, operation, fields)

    patch.setattr(BaseClient, "_make_api_call", fail_once)


@pytest.mark.parametrize("number", range(1, COUNT + 1))
def test_the_schedule_completes_a_closing_that_was_broken_off(
    scored: Stage,
    summarize: Step,
    reconcile: Step,
    workflow: dict[str, str],
    *,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
) -> None:
    with monkeypatch.context() as patch:
        break_off(patch, number)
        with pytest.raises(ClientError, match="InternalServerError"):
            summarize(summary_event({}))
    was_closed = scored.execution().status in FINAL_EXECUTION_STATUSES
    workflow["e-1"] = "FAILED"
    reconcile(SCHEDULED)
    execution = scored.execution()
    # As the workflow itself failed, only a closing before that may say that all is well.
    assert execution.status is (ExecutionStatus.SUCCEEDED if was_closed else ExecutionStatus.PARTLY_FAILED)
    assert not execution.closing_pending
    assert {layout.summary_key("e-1"), layout.latest_key("flights", "delays-ua")} <= set(scored.result_keys())
    assert reconcile(SCHEDULED)["executions_closed"] == 0
