"""Every object version is scored by one execution, with duplicate, shuffled and split messages and
interrupted calls.
"""

import itertools
from collections import Counter
from contextlib import suppress
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.triggers.uploads import ObjectVersion, UploadRule
from tests.unit.lambdas.start_on_upload.queue_model import KilledError, Trigger, Waiting, kill

WINDOW_SECONDS = 60


def any_trigger() -> tuple[Trigger, str]:
    dataset = "orders"
    rule = UploadRule(dataset, "window", WINDOW_SECONDS, {"execution_label": "gathered"})
    return Trigger({dataset: rule}), dataset


def upload(number: int, key: str = "") -> ObjectVersion:
    """Return the n-th upload; a later upload of the same key has a greater sequencer."""
    return ObjectVersion(key or f"{number}.parquet", f"v{number}", f"{number:032x}", 10 + number, f"{number:018X}")


def reminders(trigger: Trigger) -> list[Waiting]:
    return [waiting for waiting in trigger.due() if "window_end" in waiting.body]


def check(trigger: Trigger, sent: list[ObjectVersion]) -> None:
    """Check that each upload is in one manifest, and each manifest in one execution."""
    manifests = trigger.manifests()
    assert len({str(request["objects_manifest"]) for request in trigger.executions.values()}) == len(manifests)
    named = Counter(item for m in manifests.values() for item in (*m.objects, *m.superseded))
    assert named == Counter(set(sent))
    for manifest in manifests.values():
        scored = {item.key: item for item in manifest.objects}
        assert len(scored) == len(manifest.objects)
        for old in manifest.superseded:
            assert scored[old.key].sequencer > old.sequencer


steps = st.fixed_dictionaries(
    {
        "seconds": st.sampled_from([0, 1, 40, 70]),
        "share": st.lists(st.booleans(), min_size=1, max_size=8),
        "order": st.randoms(use_true_random=False),
        "doubled": st.booleans(),
        "at_step": st.integers(1, 45),
        "what": st.sampled_from(["nothing", "killed", "killed", "another call", "refused"]),
    }
)


@settings(max_examples=100, deadline=None)
@given(
    keys=st.lists(st.sampled_from(["a.parquet", "b.parquet", "x/c.parquet", "d.parquet"]), min_size=1, max_size=7),
    story=st.lists(steps, max_size=8),
)
def test_each_upload_is_in_one_execution_whatever_happens(keys: list[str], story: list[dict]) -> None:  # type: ignore[type-arg]
    trigger, dataset = any_trigger()
    sent = [upload(number, key) for number, key in enumerate(keys)]
    trigger.put(dataset, *sent)
    for step in story:
        trigger.now += timedelta(seconds=step["seconds"])
        chosen = [item for item, take in zip(trigger.due(), itertools.cycle(step["share"]), strict=False) if take]
        step["order"].shuffle(chosen)
        others = [item for item in trigger.due() if item not in chosen][:3] or chosen[:1]
        trigger.refusal = "ThrottlingException" if step["what"] == "refused" else ""
        happens = {"killed": kill, "another call": lambda o=others: trigger.deliver(o, doubled=True)}
        interruption = happens.get(step["what"], lambda: None)
        with suppress(KilledError), trigger.interrupted(step["at_step"], interruption):
            trigger.deliver(chosen, doubled=step["doubled"])
    trigger.refusal = ""
    trigger.drain()
    check(trigger, sent)


@pytest.mark.parametrize("moment", ["gathering", "ending"])
def test_a_call_may_be_killed_between_any_two_steps(moment: str) -> None:
    for at_step in itertools.count(1):
        trigger, dataset = any_trigger()
        sent = [upload(1), upload(2), upload(3)]
        trigger.put(dataset, *sent)
        if moment == "ending":
            trigger.deliver(trigger.due())
            trigger.now += timedelta(seconds=WINDOW_SECONDS)
        died = False
        try:
            with trigger.interrupted(at_step, kill):
                trigger.deliver(trigger.due())
        except KilledError:
            died = True
        # The redelivered batch differs from that of the killed call, and the other messages arrive
        # after the window's end.
        trigger.deliver(trigger.due()[:1])
        trigger.now += timedelta(seconds=WINDOW_SECONDS)
        trigger.deliver(reminders(trigger))
        trigger.drain()
        check(trigger, sent)
        if not died:
            assert at_step > 10
            return


@pytest.mark.parametrize("at_step", range(1, 40, 3))
def test_two_calls_with_the_same_messages_may_interleave(at_step: int) -> None:
    trigger, dataset = any_trigger()
    sent = [upload(1), upload(2), upload(3)]
    trigger.put(dataset, *sent)
    with trigger.interrupted(at_step, lambda: trigger.deliver(trigger.due()[1:], doubled=True)):
        trigger.deliver(trigger.due()[:2])
    trigger.drain()
    check(trigger, sent)


@pytest.mark.parametrize("shared", [0, 1])
@pytest.mark.parametrize("window_is_open", [False, True])
@pytest.mark.parametrize("at_step", range(1, 40))
def test_the_window_of_a_slow_call_may_end_during_the_call(at_step: int, window_is_open: bool, shared: int) -> None:
    trigger, dataset = any_trigger()
    sent = [upload(1), upload(2), upload(3)]
    if window_is_open:
        sent.append(upload(0))
        trigger.put(dataset, upload(0))
        trigger.deliver(trigger.due())
    trigger.put(dataset, *sent[:3])

    def finish_meanwhile() -> None:
        trigger.deliver(trigger.due()[2 - shared :], doubled=True)
        trigger.now += timedelta(seconds=WINDOW_SECONDS)
        trigger.deliver(reminders(trigger))

    with trigger.interrupted(at_step, finish_meanwhile):
        trigger.deliver(trigger.due()[:2])
    trigger.drain()
    check(trigger, sent)


def test_thousands_of_uploads_in_several_batches_start_one_execution() -> None:
    trigger, dataset = any_trigger()
    sent = [upload(number) for number in range(2_000)]
    trigger.put(dataset, *sent)
    burst = trigger.due()
    for start in range(0, len(burst), 600):
        trigger.deliver(burst[start : start + 600])
    trigger.drain()
    (manifest,) = trigger.manifests().values()
    assert sorted(manifest.objects, key=lambda item: item.size) == sent


def test_uploads_after_a_windows_end_get_another_execution() -> None:
    trigger, dataset = any_trigger()
    trigger.put(dataset, upload(1))
    trigger.drain()
    trigger.put(dataset, upload(2))
    trigger.drain()
    assert [[item.key for item in m.objects] for m in trigger.manifests().values()] == [["1.parquet"], ["2.parquet"]]


def test_a_windows_execution_has_the_rules_request() -> None:
    trigger, dataset = any_trigger()
    trigger.put(dataset, upload(1))
    trigger.drain()
    ((name, request),) = trigger.executions.items()
    batch_id = name.removeprefix(f"upload-{dataset}-")
    assert request == {
        "dataset": dataset,
        "objects_manifest": f"uploads/{dataset}/{batch_id}.json",
        "execution_label": "gathered",
    }
    assert len(name) <= 80


def test_a_window_ends_window_seconds_after_its_first_upload() -> None:
    trigger, dataset = any_trigger()
    trigger.put(dataset, upload(1))
    trigger.deliver(trigger.due())
    trigger.now += timedelta(seconds=WINDOW_SECONDS - 1)
    trigger.put(dataset, upload(2))
    trigger.deliver(trigger.due())
    assert trigger.executions == {}
    trigger.now += timedelta(seconds=1)
    trigger.deliver(trigger.due())
    assert [len(manifest.objects) for manifest in trigger.manifests().values()] == [2]


def test_the_reminder_of_a_long_window_is_sent_again() -> None:
    dataset = "orders"
    trigger = Trigger({dataset: UploadRule(dataset, "window", 3_600)})
    trigger.put(dataset, upload(1))
    trigger.deliver(trigger.due())
    for _ in range(3):
        trigger.now += timedelta(seconds=900)
        trigger.deliver(trigger.due())
        assert (len(trigger.queue), trigger.executions) == (1, {})
    trigger.now += timedelta(seconds=900)
    trigger.deliver(trigger.due())
    assert (len(trigger.queue), len(trigger.executions)) == (0, 1)


@pytest.mark.parametrize("refusal", ["ThrottlingException", "ExecutionLimitExceeded"])
def test_no_upload_is_lost_while_executions_are_refused(refusal: str) -> None:
    trigger, dataset = any_trigger()
    trigger.put(dataset, upload(1))
    trigger.deliver(trigger.due())
    trigger.now += timedelta(seconds=WINDOW_SECONDS)
    trigger.refusal = refusal
    for _ in range(4):
        trigger.deliver(trigger.due())
    assert (len(trigger.queue), trigger.waits) == (1, [30, 60, 120, 240])
    # New uploads are gathered in another window.
    trigger.put(dataset, upload(2))
    trigger.deliver(trigger.due())
    trigger.refusal = ""
    trigger.drain()
    check(trigger, [upload(1), upload(2)])
    assert len(trigger.executions) == 2


def test_a_removed_rule_does_not_lose_gathered_uploads() -> None:
    trigger, dataset = any_trigger()
    trigger.put(dataset, upload(1))
    trigger.deliver(trigger.due())
    trigger.rules = {}
    trigger.drain()
    check(trigger, [upload(1)])


def test_claims_outlive_the_longest_delivery_time() -> None:
    trigger, dataset = any_trigger()
    trigger.put(dataset, upload(1))
    trigger.drain()
    items = [item for (_, sk), item in trigger.table.items.items() if sk != "CURRENT"]
    assert items
    assert all(item["expires_at"] > trigger.now.timestamp() + 28 * 86_400 for item in items)
    (current,) = [item for (_, sk), item in trigger.table.items.items() if sk == "CURRENT"]
    assert "expires_at" not in current
