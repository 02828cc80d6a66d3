import pytest

from contract import environment
from contract.problems import InvalidInputError
from lambdas.stage.settings import (
    read_compared_checksums,
    read_event_bus_settings,
    read_plan_defaults,
    read_settings,
    read_state_machine_arn,
)
from tests.unit.lambdas.builders import STAGE_COMPUTE, VARIABLES


def test_settings_are_read_from_the_environment() -> None:
    settings = read_settings(VARIABLES)
    assert (settings.stage, settings.table_name, settings.record_days) == ("test", "fleetscore-test", 90)
    defaults = read_plan_defaults(VARIABLES)
    assert (defaults.compute, defaults.max_concurrency) == (STAGE_COMPUTE, 20)
    assert (defaults.models_per_job, defaults.planned_instance_types) == (1, ())
    planned = {environment.DEFAULT_MODELS_PER_JOB: "auto", environment.PLANNED_INSTANCE_TYPES: '["ml.c5.xlarge"]'}
    defaults = read_plan_defaults(VARIABLES | planned)
    assert (defaults.models_per_job, defaults.planned_instance_types) == ("auto", ("ml.c5.xlarge",))


def test_compute_without_a_schema_version_is_read() -> None:
    plain = '{"instance_type": "ml.m5.large", "instance_count": 1, "volume_size_gb": 1, "max_runtime_seconds": 60}'
    assert read_plan_defaults(VARIABLES | {environment.DEFAULT_COMPUTE: plain}).compute.volume_size_gb == 1


def test_all_missing_variables_are_reported_together() -> None:
    with pytest.raises(InvalidInputError) as refused:
        read_settings({environment.STAGE: "dev"})
    missing = [problem.field for problem in refused.value.problems]
    assert missing == [
        environment.TABLE_NAME,
        environment.DATASETS_BUCKET,
        environment.MODELS_BUCKET,
        environment.RESULTS_BUCKET,
        environment.KEY_ARN,
        environment.RECORD_DAYS,
    ]


def test_which_checksums_are_compared_is_read_or_refused_by_name() -> None:
    assert read_compared_checksums({environment.COMPARED_CHECKSUMS: "all"}) == "all"
    with pytest.raises(InvalidInputError, match=f"{environment.COMPARED_CHECKSUMS}.*'some'.*'sampled' or 'all'"):
        read_compared_checksums({environment.COMPARED_CHECKSUMS: "some"})


@pytest.mark.parametrize(
    ("name", "value", "field"),
    [
        (environment.DEFAULT_COMPUTE, "not JSON", environment.DEFAULT_COMPUTE),
        (environment.DEFAULT_COMPUTE, "{}", f"{environment.DEFAULT_COMPUTE}.instance_type"),
        (environment.DEFAULT_COMPUTE, '{"instance_count": 0}', "instance_count"),
        (environment.DEFAULT_MAX_CONCURRENCY, "0", environment.DEFAULT_MAX_CONCURRENCY),
        (environment.DEFAULT_MODELS_PER_JOB, "many", environment.DEFAULT_MODELS_PER_JOB),
        (environment.PLANNED_INSTANCE_TYPES, "ml.m5.xlarge", environment.PLANNED_INSTANCE_TYPES),
        (environment.DEFAULT_TOLERATED_FAILURE_PERCENTAGE, "101", environment.DEFAULT_TOLERATED_FAILURE_PERCENTAGE),
        (environment.IMAGE_URIS, "", environment.IMAGE_URIS),
        (environment.IMAGE_URIS, '{"pytorch": "uri"}', environment.IMAGE_URIS),
        (environment.IMAGE_URIS, '{"core": "uri", "jax": "uri"}', environment.IMAGE_URIS),
        (environment.IMAGE_URIS, '{"core": null}', environment.IMAGE_URIS),
    ],
)
def test_an_invalid_default_is_named(name: str, value: str, field: str) -> None:
    with pytest.raises(InvalidInputError) as refused:
        read_plan_defaults(VARIABLES | {name: value})
    assert field in [problem.field for problem in refused.value.problems]


def test_settings_of_the_trigger_functions_are_read_and_refused_by_name() -> None:
    bus = read_event_bus_settings({environment.STAGE: "dev", environment.EVENT_BUS_NAME: "fleetscore-dev"})
    assert (bus.stage, bus.bus_name) == ("dev", "fleetscore-dev")
    assert read_state_machine_arn({environment.STATE_MACHINE_ARN: "arn"}) == "arn"
    with pytest.raises(InvalidInputError, match=environment.EVENT_BUS_NAME):
        read_event_bus_settings({environment.STAGE: "dev"})
    with pytest.raises(InvalidInputError, match="The stack of the triggers sets it"):
        read_state_machine_arn({})
