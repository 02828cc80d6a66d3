from concurrent.futures import ThreadPoolExecutor

import pytest

from contract.planner.estimates import MAX_SAMPLES, model_key
from contract.table.estimate_items import Measured
from lambdas.stage.tables.estimate_table import EstimateTable
from tests.unit.lambdas.builders import Stage

TYPE = "ml.m5.large"


@pytest.fixture
def table(stage: Stage) -> EstimateTable:
    return stage.deployment.estimates


def rate(model_id: str, execution: int, value: float = 0.0) -> Measured:
    return Measured("MODEL", model_id, TYPE, value or execution + 1.0, f"e-{execution}", f"2026-12-{execution + 1:02d}")


def test_the_newest_samples_are_kept_newest_first_in_whatever_order_executions_end(table: EstimateTable) -> None:
    for execution in (*range(0, 25, 2), *range(1, 25, 2)):
        assert table.add([rate("m", execution)]) == 1
    newest = tuple(execution + 1.0 for execution in reversed(range(25 - MAX_SAMPLES, 25)))
    assert table.read(["m"], []).of("rows", model_key("m", TYPE)) == newest


def test_a_sample_counts_once(table: EstimateTable) -> None:
    assert table.add([rate("m", 1), rate("other", 1)]) == 2
    assert table.add([rate("m", 1, 99.0), rate("other", 2)]) == 1
    samples = table.read(["m", "other"], [])
    assert samples.of("rows", model_key("m", TYPE)) == (2.0,)
    assert samples.of("rows", model_key("other", TYPE)) == (3.0, 2.0)


def test_executions_that_end_at_the_same_time_lose_no_sample(table: EstimateTable) -> None:
    models = [f"m-{number}" for number in range(110)]  # more than a transaction has
    with ThreadPoolExecutor(2) as threads:
        list(threads.map(lambda execution: table.add([rate(model, execution) for model in models]), range(2)))
    samples = table.read([*models, models[0]], ["flights"])
    assert all(samples.of("rows", model_key(model, TYPE)) == (2.0, 1.0) for model in models)
