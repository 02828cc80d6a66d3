"""Rules for faults: validation, counts across threads and processes, times, and seeds."""

import json
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from pathlib import Path

import pytest

from embedded.faults import (
    AccessDenied,
    CorruptUpload,
    CrashFunction,
    Fault,
    Faults,
    FullDisk,
    InstanceQuota,
    InterruptSpot,
    KillInstance,
    LoseEvent,
    ServerError,
    Throttle,
)
from embedded.faults import store as store_module
from embedded.faults.kinds import KINDS, text
from embedded.faults.request_faults import RequestFault, ServiceRequest

UPDATE = ServiceRequest("dynamodb", "UpdateItem", ("jobs",), "dev-role/dev-record-attempt")


@pytest.fixture
def faults(tmp_path: Path) -> Faults:
    return Faults(tmp_path / "faults")


def strikes(faults: Faults, occasions: int) -> list[bool]:
    return [faults.strike(Throttle, f"occasion {number}") is not None for number in range(occasions)]


def test_a_fault_happens_once_and_is_recorded_with_its_place(faults: Faults) -> None:
    before = time.time()
    assert faults.add(Throttle()) == "throttle-1"
    other = Faults(faults._folder)  # as another process sees them
    assert strikes(other, 3) == [True, False, False]
    assert faults.pending() == []
    (happening,) = faults.happened()
    assert (happening.fault_id, happening.kind, happening.place) == ("throttle-1", "throttle", "occasion 0")
    assert before <= happening.at.timestamp() <= time.time()
    assert faults.happened(Throttle) == faults.happened("throttle-1") == [happening]
    assert faults.happened(RequestFault) == [happening]
    assert faults.happened(KillInstance) == faults.happened("throttle-2") == []


def test_skip_and_count_choose_occasions(faults: Faults) -> None:
    faults.add(Throttle(skip=2, count=2))
    assert strikes(faults, 6) == [False, False, True, True, False, False]
    (scheduled,) = faults.all()
    assert (scheduled.occasions, scheduled.times, scheduled.is_used_up) == (4, 2, True)
    assert str(scheduled) == "throttle-1: throttle --count 2 --skip 2"


def test_the_same_seed_repeats_the_same_faults(tmp_path: Path) -> None:
    runs = []
    for seed in (7, 7, 8):
        faults = Faults(tmp_path / str(len(runs)))
        faults.add(Throttle(probability=0.3, seed=seed))
        runs.append(strikes(faults, 100))
    assert runs[0] == runs[1]
    assert runs[0] != runs[2]
    assert 15 < sum(runs[0]) < 45


def test_a_probability_has_no_limit_unless_a_count_is_given(faults: Faults) -> None:
    assert Throttle(probability=1).limit is None
    assert Throttle(probability=0.5, count=2).limit == 2
    faults.add(Throttle(probability=1, count=2))
    assert sum(strikes(faults, 5)) == 2


def test_a_fault_has_its_time(faults: Faults, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(store_module.time, "time", lambda: now[0])
    faults.add(Throttle(count=9, after_seconds=10, until_seconds=20))
    found = []
    for moment in (1009.9, 1010.0, 1019.9, 1020.0):
        now[0] = moment
        found += strikes(faults, 1)
    assert found == [False, True, True, False]
    assert faults.pending() == []


def test_a_count_is_used_up_once_across_threads(faults: Faults) -> None:
    faults.add(Throttle(count=10))
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda number: faults.strike(Throttle, str(number)), range(40)))
    assert len([each for each in found if each is not None]) == len(faults.happened()) == 10


def test_a_count_is_used_up_once_across_processes(faults: Faults) -> None:
    faults.add(Throttle(count=10))
    code = (
        "import sys; from pathlib import Path; from embedded.faults import Faults, Throttle\n"
        "faults = Faults(Path(sys.argv[1]))\n"
        "print(sum(faults.strike(Throttle, 'here') is not None for _ in range(8)))"
    )
    command = [sys.executable, "-c", code, str(faults._folder)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    assert sum(int(each.communicate()[0]) for each in running) == len(faults.happened()) == 10


def test_a_change_by_another_process_is_seen_by_the_next_occasion(faults: Faults) -> None:
    assert faults.scheduled(Throttle) == []
    code = (
        "import sys; from pathlib import Path; from embedded.faults import Faults, Throttle\n"
        "{}(Faults(Path(sys.argv[1])))"
    )
    for change, expected in (
        ("(lambda faults: faults.add(Throttle()))", ["throttle-1"]),
        ("(lambda faults: faults.add(Throttle()))", ["throttle-1", "throttle-2"]),
        ("(lambda faults: faults.clear('throttle-1'))", ["throttle-2"]),
    ):
        subprocess.run([sys.executable, "-c", code.format(change), str(faults._folder)], check=True)
        assert [fault_id for fault_id, _ in faults.scheduled(Throttle)] == expected


def test_the_first_fault_that_concerns_an_occasion_happens(faults: Faults) -> None:
    faults.add(Throttle(service="s3"))
    faults.add(AccessDenied(service="dynamodb"))
    faults.add(ServerError())
    found = [faults.strike(RequestFault, "here", lambda each: each.concerns(UPDATE)) for _ in range(3)]
    assert found == [AccessDenied(service="dynamodb"), ServerError(), None]
    assert faults.pending() == [Throttle(service="s3")]


def test_clearing_removes_one_fault_or_all_and_keeps_what_happened(faults: Faults) -> None:
    first, second = faults.add(Throttle()), faults.add(LoseEvent())
    assert strikes(faults, 1) == [True]
    assert faults.clear(first) == 1
    with pytest.raises(ValueError, match="fault: 'throttle-1' is not the id of a fault, expected one of these: lose-e"):
        faults.clear(first)
    assert [each.fault_id for each in faults.all()] == [second]
    assert (faults.clear(), faults.clear()) == (1, 0)
    assert faults.pending() == []
    assert len(faults.happened()) == 1
    # Ids are never used again.
    assert faults.add(Throttle()) == "throttle-3"


def test_without_a_fault_an_occasion_costs_nearly_nothing(faults: Faults) -> None:
    assert faults.strike(Throttle, "here") is None
    assert faults.scheduled(Throttle) == []
    assert [file.name for file in faults._folder.iterdir()] == ["version"]
    faults.add(KillInstance())
    began = time.perf_counter()
    for _ in range(1000):
        faults.scheduled(Throttle)
    assert time.perf_counter() - began < 0.5


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_every_kind_survives_its_file_and_explains_its_fields(kind: type[Fault], faults: Faults) -> None:
    faults.add(kind())
    assert faults.pending() == [kind()]
    assert faults.scheduled(kind) == [(f"{kind.KIND}-1", kind())]
    assert kind.__doc__
    assert all(each.metadata["help"].endswith(".") for each in fields(kind))
    json.loads((faults._folder / "rules.json").read_text())


@pytest.mark.parametrize(
    ("kind", "values", "problem"),
    [
        (Throttle, {"count": 0}, "count: 0 is too few, expected at least 1"),
        (Throttle, {"probability": 1.5}, "probability: got 1.5, expected more than 0 and at most 1"),
        (Throttle, {"skip": -1}, "skip: -1 is too few, expected at least 0"),
        (
            Throttle,
            {"after_seconds": 5, "until_seconds": 4},
            r"until_seconds: got 4, expected more than after_seconds \(5\)",
        ),
        (Throttle, {"service": ""}, r"service: it is empty, expected a name or a pattern such as '\*'"),
        (ServerError, {"when": "later"}, "when: got 'later', expected 'before' or 'after'"),
        (KillInstance, {"instance": 0, "objects": -1}, "instance: 0 is too few.*; objects: -1 is too few"),
        (InterruptSpot, {"after_log": "("}, r"after_log: '\(' is not a regular expression"),
        (InstanceQuota, {"instances": -1}, "instances: -1 is too few, expected at least 0"),
        (FullDisk, {"volume_bytes": 5}, "volume_bytes: 5 is too few, expected at least 1,048,576"),
    ],
)
def test_an_invalid_fault_is_refused(kind: type[Fault], values: dict[str, object], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        kind(**values)  # type: ignore[arg-type]


def test_all_problems_are_in_one_message() -> None:
    with pytest.raises(ValueError, match=r"^key: it is empty.*; count: -1.*; skip: -2"):
        CorruptUpload(key="", count=-1, skip=-2)


@pytest.mark.parametrize(
    ("fault", "concerns"),
    [
        (Throttle(), True),
        (Throttle(service="dynamodb", operation="Update*", resource="jobs", caller="*-record-attempt"), True),
        (Throttle(caller="dev-role"), True),
        (Throttle(caller="dev-role/dev-record-attempt"), True),
        (Throttle(caller="dev"), False),
        (Throttle(service="s3"), False),
        (Throttle(operation="PutItem"), False),
        (Throttle(resource="job"), False),
    ],
)
def test_a_rule_names_requests_by_service_operation_resource_and_caller(fault: Throttle, concerns: bool) -> None:
    assert fault.concerns(UPDATE) is concerns


def test_an_event_is_named_by_source_type_and_target() -> None:
    target = "arn:aws:lambda:us-east-1:123456789012:function:dev-close"
    for fault in (LoseEvent(target="dev-*"), LoseEvent(source="aws.s3", detail_type="Object*", target=target)):
        assert fault.concerns("aws.s3", "Object Created", target)
    assert not LoseEvent(source="aws.states").concerns("aws.s3", "Object Created", target)
    nightly = LoseEvent(schedule="night*")
    assert nightly.concerns("aws.scheduler", "", target, "nightly")
    assert not nightly.concerns("aws.scheduler", "", target, "hourly")
    assert not nightly.concerns("aws.s3", "Object Created", target)


def test_the_text_of_a_fault_is_that_of_the_command() -> None:
    assert text(CrashFunction(function="dev-plan", when="before")) == "crash-function --function dev-plan --when before"


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_the_document_explains_every_kind_and_its_options(kind: type[Fault]) -> None:
    text_of = (Path(__file__).parents[4] / "docs/reference/faults.md").read_text()
    assert f"| `{kind.KIND}` |" in text_of
    missing = [f"--{each.name.replace('_', '-')}" for each in fields(kind)]
    assert [option for option in missing if f"{option}`" not in text_of and f"{option} " not in text_of] == []
