"""Planning problems for tests."""

from collections.abc import Sequence

from hypothesis import strategies as st

from contract.planner.estimates import Estimates, SampleKind, Samples, format_key
from contract.planner.prices import PriceTable, RegionPrices
from contract.planner.problem import Fixed, ModelGroup, ModelWork, PlanningProblem

REGION = "eu-central-1"
TYPES = ("ml.m5.large", "ml.m5.xlarge", "ml.m5.2xlarge", "ml.c5.2xlarge")
PRICES = PriceTable(
    "2026-01-01", "a test", {REGION: RegionPrices({TYPES[0]: 0.1, TYPES[1]: 0.2, TYPES[2]: 0.4, TYPES[3]: 0.35})}
)
AUTO = Fixed(models_per_job=None)


def exact_estimates(
    *, startup: float = 200.0, download: float = 50e6, rows_per_second: float = 1e6, datasets: Sequence[str] = ("d",)
) -> Estimates:
    """Return estimates without a spread, with 100 bytes per row."""
    kinds: dict[SampleKind, dict[str, list[float]]] = {
        "startup": {name: [startup] * 5 for name in TYPES},
        "download": {name: [download] * 5 for name in TYPES},
        "upload": {name: [download] * 5 for name in TYPES},
        "bytes-per-row": {name: [100.0] * 5 for name in datasets},
        "load": {"onnx/1KB": [0.0] * 5},
        "rows": {format_key("onnx", 0, name): [rows_per_second] * 5 for name in TYPES},
    }
    return Estimates(Samples(kinds))


@st.composite
def problems(draw: st.DrawFn) -> PlanningProblem:
    """Draw problems with contradictions too: quotas of 0, and volumes that are too small."""
    datasets = {
        f"data-{number}": draw(st.lists(st.integers(0, 200_000_000_000), min_size=1, max_size=12))
        for number in range(draw(st.integers(1, 3)))
    }
    groups = []
    for number in range(draw(st.integers(1, 4))):
        sizes = draw(st.lists(st.sampled_from([0, 5_000, 2_000_000, 900_000_000]), min_size=1, max_size=25))
        models = tuple(
            ModelWork(f"model-{number}-{index:02d}", draw(st.sampled_from(["onnx", "custom"])), size, index % 2)
            for index, size in enumerate(sizes)
        )
        fixed = Fixed(
            instance_type=draw(st.none() | st.sampled_from([*TYPES, "ml.unknown.large", "ml.g5.xlarge"])),
            instance_count=draw(st.none() | st.integers(1, 15)),
            volume_size_gb=draw(st.none() | st.sampled_from([30, 2_000])),
            models_per_job=draw(st.none() | st.sampled_from([1, 3, 1_000])),
        )
        is_fleet, per_job = draw(st.booleans()), fixed.models_per_job or 1
        is_divided = per_job > 1 and not is_fleet and draw(st.booleans())
        group = ModelGroup(
            name=f"group-{number}",
            dataset=draw(st.sampled_from(sorted(datasets))),
            models=models,
            fixed=fixed,
            max_runtime_seconds=draw(st.sampled_from([3_600, 86_400, 432_000])),
            is_fleet=is_fleet,
            shared_output_ratio=draw(st.sampled_from([0.0, 1.0])),
            job_sizes=tuple(len(models[start : start + per_job]) for start in range(0, len(models), per_job))
            if is_divided
            else (),
        )
        groups.append(group)
    return PlanningProblem(
        groups=tuple(groups),
        datasets=datasets,
        estimates=Estimates(),
        prices=PRICES,
        region=draw(st.sampled_from([REGION, "mars-north-1"])),
        instance_types=TYPES,
        max_concurrency=draw(st.sampled_from([1, 3, 100])),
        quotas=draw(st.dictionaries(st.sampled_from([*TYPES, "ml.g5.xlarge"]), st.integers(0, 20))),
        deadline_seconds=draw(st.none() | st.sampled_from([600.0, 7_200.0, 86_400.0])),
        objective=draw(st.sampled_from(["cost", "time"])),
    )
