from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from contract.catalog.models import Compute
from contract.status import ExecutionKind, Shortage
from lambdas.attempts.adaptation import AttemptSettings, settings_after, settings_of
from tests.unit.lambdas.failures.test_retry_decision import GROWING, any_job, failed

SHORTAGES = st.lists(st.sampled_from([None, *Shortage]), max_size=9)
FIRST = AttemptSettings(65_536, "ml.m5.xlarge", 30)


def test_the_first_attempt_has_the_jobs_settings() -> None:
    assert settings_of(any_job(compute=GROWING), 1, [failed(1, shortage=Shortage.MEMORY)]) == FIRST
    assert settings_of(any_job(kind=ExecutionKind.TRAINING), 1, []).batch_rows == 0


def test_each_change_is_kept_with_its_reason() -> None:
    earlier = [failed(1, shortage=Shortage.DISK_SPACE), failed(2), failed(3, shortage=Shortage.MEMORY)]
    assert settings_of(any_job(compute=GROWING), 4, earlier) == AttemptSettings(
        8_192,
        "ml.m5.xlarge",
        60,
        (
            "volume 30 GB → 60 GB: attempt 1 ran out of disk space",
            "rows per batch 65,536 → 8,192: attempt 3 ran out of memory",
        ),
    )


def test_a_stage_without_adaptation_settings_only_shrinks_batches() -> None:
    compute = Compute("ml.m5.xlarge", 1, 30, 3_600)
    assert settings_after(compute, FIRST, 1, Shortage.DISK_SPACE) is None
    shrunk = settings_after(compute, FIRST, 1, Shortage.MEMORY)
    assert shrunk is not None
    assert (shrunk.batch_rows, shrunk.instance_type) == (8_192, "ml.m5.xlarge")


@given(SHORTAGES, st.randoms(use_true_random=False))
def test_settings_only_grow_and_depend_on_no_order_of_records(shortages: list[Shortage | None], random: object) -> None:
    job = any_job(compute=GROWING)
    records = [failed(number, shortage=shortage) for number, shortage in enumerate(shortages, 1)]
    settings = [settings_of(job, attempt, records) for attempt in range(1, len(records) + 2)]
    for before, after in pairwise(settings):
        assert after.batch_rows <= before.batch_rows
        assert before.volume_size_gb <= after.volume_size_gb <= 100
        assert after.changes[: len(before.changes)] == before.changes
    random.shuffle(records)  # type: ignore[attr-defined]
    assert settings_of(job, len(records) + 1, records) == settings[-1]
