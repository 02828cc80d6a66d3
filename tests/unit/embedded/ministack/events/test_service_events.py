import json
import queue
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from ministack.services import eventbridge, lambda_svc

from embedded.ministack.errors import MinistackChangedError
from embedded.ministack.events.service_events import (
    install_function_targets,
    install_no_event_log,
    install_scheduled_rules,
    put_service_event,
)


@pytest.fixture
def delivered(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, Any]]]:
    """Yield the events that reach the function."""
    found: list[dict[str, Any]] = []
    for name in ("_now_ts", "_tick_scheduled_rules", "start_scheduler"):
        monkeypatch.setattr(eventbridge, name, getattr(eventbridge, name))
    monkeypatch.setattr(eventbridge, "_dispatch_to_lambda", lambda _arn, payload: found.append(json.loads(payload)))
    yield found
    eventbridge.reset()


def put_rule(**fields: str) -> None:
    eventbridge._ensure_default_bus()
    eventbridge._put_rule({"Name": "rule", **fields})
    arn = f"arn:aws:lambda:{eventbridge.get_region()}:{eventbridge.get_account_id()}:function:reconcile"
    eventbridge._put_targets({"Rule": "rule", "Targets": [{"Id": "1", "Arn": arn}]})


def test_events_of_our_services_reach_matching_rules(delivered: list[dict[str, Any]]) -> None:
    put_rule(EventPattern=json.dumps({"source": ["aws.sagemaker"], "detail": {"Name": [{"prefix": "dev-"}]}}))
    for name in ("dev-1", "prod-1"):
        put_service_event("aws.sagemaker", "SageMaker Processing Job State Change", f"arn:{name}", {"Name": name})
    assert [(event["detail"], event["resources"]) for event in delivered] == [({"Name": "dev-1"}, ["arn:dev-1"])]


def test_a_function_of_a_rule_is_called_with_the_event_or_the_text(monkeypatch: pytest.MonkeyPatch) -> None:
    called: queue.Queue[Any] = queue.Queue()
    monkeypatch.setattr(eventbridge, "_dispatch_to_lambda", None)
    with pytest.raises(MinistackChangedError):
        install_function_targets()
    monkeypatch.setattr(eventbridge, "_dispatch_to_lambda", lambda *_: None)
    install_function_targets()
    found: list[Any] = [({"config": {}}, {"FunctionName": "f"}, "f"), (None, None, "g")]
    monkeypatch.setattr(lambda_svc, "_get_func_record_for_ref", lambda arn: found[arn.endswith("g")])
    monkeypatch.setattr(
        lambda_svc, "_execute_function_with_config_scope", lambda record, event: called.put((record["config"], event))
    )
    for arn, payload in (("arn:g", "{}"), ("arn:f", '{"a": 1}'), ("arn:f", "text")):
        eventbridge._dispatch_to_lambda(arn, payload)
    events = [called.get(timeout=10) for _ in range(2)]
    assert sorted(events, key=str) == [({"FunctionName": "f"}, {"a": 1}), ({"FunctionName": "f"}, {"body": "text"})]
    assert called.empty()


def test_scheduled_rules_follow_the_clock_of_the_embedded_aws(delivered: list[dict[str, Any]]) -> None:
    times = [datetime.now(UTC)]
    tick = install_scheduled_rules(lambda: times[-1])
    put_rule(ScheduleExpression="rate(15 minutes)")
    tick()
    times.append(times[0] + timedelta(minutes=15, seconds=1))
    tick()
    tick()
    assert [event["source"] for event in delivered] == ["aws.events"]
    threads = threading.active_count()
    eventbridge.start_scheduler()  # its loop is that of EventBridge Scheduler
    assert threading.active_count() == threads


def test_scheduled_rules_are_evaluated_once_per_second(
    delivered: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluated: list[float] = []
    monkeypatch.setattr(eventbridge, "_tick_scheduled_rules", lambda: evaluated.append(eventbridge._now_ts()))
    times = [datetime(2026, 1, 2, tzinfo=UTC)]
    tick = install_scheduled_rules(lambda: times[-1])
    for seconds in (0, 0.2, 0.9, 1, 1.5, 0.3, 3_600):
        times.append(times[0] + timedelta(seconds=seconds))
        tick()
    assert [round(moment - times[0].timestamp(), 3) for moment in evaluated] == [0, 1, 0.3, 3_600]
    assert delivered == []


def test_scheduled_rules_fire_again_after_the_clock_was_set_back(delivered: list[dict[str, Any]]) -> None:
    times = [datetime.now(UTC)]
    tick = install_scheduled_rules(lambda: times[-1])
    put_rule(ScheduleExpression="rate(15 minutes)")
    fired = []
    for minutes in (24 * 60, 0, 14, 16, 31):
        times.append(times[0] + timedelta(minutes=minutes))
        tick()
        fired.append(len(delivered))
    assert fired == [1, 1, 1, 2, 3]


def test_sent_events_are_delivered_and_not_kept(
    delivered: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(eventbridge, "_events_log_list", eventbridge._events_log_list)
    put_rule(EventPattern=json.dumps({"source": ["a"]}))
    for kept in (1, 1):  # the second event is sent after the correction
        status, _, body = eventbridge._put_events({"Entries": [{"Source": "a", "DetailType": "b", "Detail": "{}"}]})
        assert (status, json.loads(body)["FailedEntryCount"]) == (200, 0)
        assert sum(map(len, eventbridge._events_log.values())) == kept
        install_no_event_log()
    assert len(delivered) == 2
