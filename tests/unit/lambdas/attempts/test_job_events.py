from dataclasses import replace
from typing import Any

import pytest

from lambdas.attempts.job_events import is_verified_quickly
from tests.unit.lambdas.builders import any_job


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"object_count": 1_000, "model_ids": ("a",)}, True),
        ({"object_count": 501, "model_ids": ("a", "b")}, False),
        ({"object_count": 1_000, "model_ids": (), "fleet": "stores"}, True),
        ({"object_count": 1_001, "model_ids": (), "fleet": "stores"}, False),
    ],
)
def test_instances_of_large_jobs_are_released_before_they_are_verified(changes: Any, *, expected: bool) -> None:
    assert is_verified_quickly(replace(any_job(), **changes)) is expected


def test_instances_of_spot_jobs_are_released_before_their_outputs_are_copied() -> None:
    job = any_job()
    spot = replace(job, object_count=1, compute=replace(job.compute, spot=True))
    assert spot.scores_on_spot
    assert not is_verified_quickly(spot)
