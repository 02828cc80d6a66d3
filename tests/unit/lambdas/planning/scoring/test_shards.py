"""The plan splits a job whose objects differ much in size into parts of about equal bytes."""

import io

from hypothesis import given
from hypothesis import strategies as st

from contract.catalog.models import Compute, ModelVersion
from contract.job.scoring_spec import PinnedObject
from contract.job.snapshot import Snapshot, read_snapshot
from contract.names import check_job_id
from contract.planner.algorithm.shards import MAX_IMBALANCE, Dataset
from contract.workflow.scoring_request import ExecutionRequest
from lambdas.plan_execution.write_plan import items_at_once
from lambdas.planning.scoring.form_groups import form_groups
from lambdas.planning.scoring.form_jobs import PlannedJob, form_jobs, split_notes
from lambdas.planning.scoring.shards import balance, divide
from tests.unit.lambdas.builders import STAGE_COMPUTE, any_model_spec, assign, snapshots_of

sizes_of_objects = st.lists(st.integers(0, 1_000) | st.integers(0, 10**12), min_size=2, max_size=60)


def objects_of(sizes: list[int]) -> tuple[PinnedObject, ...]:
    return tuple(PinnedObject(f"{number:04}.parquet", size, "e") for number, size in enumerate(sizes))


def snapshot_of(*sizes: int) -> Snapshot:
    return Snapshot("flights", "datasets-test", objects_of(list(sizes)))


def job_of(*sizes: int, instances: int, model_ids: tuple[str, ...] = ("delays-ua",)) -> list[PlannedJob]:
    compute = Compute(instance_count=instances)
    versions = [ModelVersion(spec=any_model_spec(name), dataset="d", compute=compute) for name in model_ids]
    return form_jobs(
        form_groups(ExecutionRequest(), assign(*versions), snapshots_of({"d": objects_of(list(sizes))}), STAGE_COMPUTE)
    )


@given(sizes_of_objects, st.integers(2, 100))
def test_the_planner_expects_the_same_parts(sizes: list[int], instances: int) -> None:
    count = min(instances, len(sizes))
    division = divide(snapshot_of(*sizes), count)
    expected = Dataset(sizes).divide(count)
    assert expected.is_split == bool(division.parts)
    if division.parts:
        assert expected.sizes == tuple(part.total_bytes for part in division.parts)
    else:
        assert max(expected.sizes) == division.sharding.largest_shard_bytes


@given(sizes_of_objects, st.integers(2, 100))
def test_every_object_is_in_exactly_one_part(sizes: list[int], instances: int) -> None:
    snapshot = snapshot_of(*sizes)
    division = divide(snapshot, min(instances, len(sizes)))
    if not division.parts:
        assert division.sharding.parts == 1
        return
    found: list[PinnedObject] = []
    for part in division.parts:
        # What the container and the functions read is the file of the part.
        text = part.text()
        found += read_snapshot(io.BytesIO(text), part.ref("s3://results/objects.jsonl", text))
    assert sorted(found, key=lambda item: item.key) == list(snapshot.objects)
    assert division.sharding.parts == len(division.parts) == min(instances, len(sizes))
    assert len({part.part for part in division.parts}) == len(division.parts)


@given(sizes_of_objects, st.integers(1, 100))
def test_parts_are_never_empty_and_about_equal(sizes: list[int], count: int) -> None:
    objects = objects_of(sizes)
    parts = balance(objects, count)
    assert len(parts) == min(count, len(sizes))
    assert all(parts)
    mean = sum(sizes) / len(parts)
    for part in parts:
        assert part == sorted(part, key=lambda item: item.key)
        if max(item.size for item in part) > mean:
            assert len(part) == 1
        # An object is added to the part with the fewest bytes, which has at most the mean.
        assert sum(item.size for item in part) <= mean + max(item.size for item in part)
    assert balance(objects, count) == parts


@given(sizes_of_objects, st.integers(2, 100))
def test_jobs_are_split_only_if_shards_would_be_skewed(sizes: list[int], instances: int) -> None:
    instances = min(instances, len(sizes))
    division = divide(snapshot_of(*sizes), instances)
    largest = max(sum(sizes[start::instances]) for start in range(instances))
    assert division.sharding.largest_shard_bytes == largest
    if division.parts:
        assert largest > MAX_IMBALANCE * sum(sizes) / instances
    elif largest > MAX_IMBALANCE * sum(sizes) / instances:
        # One instance must get more objects than another, and all have about one size.
        assert max(sizes) <= MAX_IMBALANCE * min(sizes)


def test_objects_of_one_size_are_left_to_sagemaker() -> None:
    (job,) = job_of(100, 100, 100, 100, instances=3)
    assert (job.parts, job.compute.instance_count) == ((), 3)
    record = job.record("e-1", "")
    assert record.sharding is not None
    assert (record.sharding.parts, record.sharding.largest_shard_bytes) == (1, 200)
    assert record.sharding.mean_shard_bytes == 133


def test_a_skewed_job_becomes_jobs_of_one_instance() -> None:
    (job,) = job_of(900, 10, 10, 300, 10, 300, instances=3)
    assert [(part.job_id, part.compute.instance_count, part.input_bytes) for part in job.parts] == [
        ("delays-ua.part-1-of-3", 1, 900),
        ("delays-ua.part-2-of-3", 1, 320),
        ("delays-ua.part-3-of-3", 1, 310),
    ]
    assert all(check_job_id("job_id", part.job_id) == [] for part in job.parts)
    for part in job.parts:
        sharding = part.record("e-1", "").sharding
        assert sharding is not None
        assert (sharding.parts, sharding.largest_shard_bytes, sharding.mean_shard_bytes) == (3, 1_200, 510)
    (note,) = split_notes([job])
    assert note.startswith("job 'delays-ua': split into 3 parts of one instance each, because distribution by number")
    assert "would give one instance 1,200 bytes, and the mean is 510" in note
    assert "Part 1 of 3 is a single object of 900 bytes, so more instances do not make the job faster" in note


def test_more_instances_help_while_no_part_is_a_single_object() -> None:
    (job,) = job_of(500, 10, 500, 10, 500, 10, 500, 10, instances=2)
    assert len(job.parts) == 2
    assert "faster" not in split_notes([job])[0]


def test_jobs_over_the_same_objects_share_the_parts_snapshots() -> None:
    first, second = job_of(900, 10, 10, instances=2, model_ids=("a", "b"))
    assert [part.snapshot for part in first.parts] == [part.snapshot for part in second.parts]
    assert first.parts[0].snapshot is second.parts[0].snapshot
    (note,) = split_notes([first, second])
    assert note.startswith("job 'a' and 1 more: ")


def test_a_job_of_one_instance_is_never_split() -> None:
    (job,) = job_of(900, 10, 10, instances=1)
    assert (job.sharding, job.parts) == (None, ())


def test_parts_run_on_as_many_instances_as_their_jobs_would() -> None:
    split = job_of(900, 10, 10, 10, instances=3, model_ids=("a", "b", "c", "d"))
    assert items_at_once(split, 2) == 6
    unsplit = job_of(10, 10, 10, instances=3, model_ids=("a", "b", "c", "d"))
    assert items_at_once(unsplit, 2) == 2
    # Two jobs have six instances, and so have the unsplit job and three parts.
    assert items_at_once([*split[:1], *unsplit[:1]], 1) == 1
    assert items_at_once([*split[:1], *unsplit[:1]], 2) == 4
