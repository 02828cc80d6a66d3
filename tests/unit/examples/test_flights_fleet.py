"""Models train and validate on separate flights, with only the facts known at departure."""

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from contract.training.recipes import Promotion
from examples.flights.data import CARRIER, KEY, MONTH, ORIGIN, Group, read_flights
from examples.flights.fleet import AIRPORT_FEATURES, FLOOR, LABEL, NUMBERS, TrainingSet, late, write_training_data

KNOWN_AT_THE_GATE = {
    "month", "day", "sched_dep_time", "sched_arr_time", "hour", "minute", "distance", "dep_delay", "carrier", "dest"
}  # fmt: skip


@pytest.fixture(scope="module")
def flights() -> pa.Table:
    """Return the flights of a large, a small and a tiny carrier."""
    return read_flights().filter(pc.field(CARRIER).isin(["VX", "HA", "OO"]))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
def training_sets(flights: pa.Table, folder: Path) -> dict[str, TrainingSet]:
    return {training_set.group.name: training_set for training_set in write_training_data(flights, folder)}


def training_rows(training_set: TrainingSet, folder: Path) -> pa.Table:
    return pq.read_table(folder / training_set.recipe.training_dataset)


def validation_rows(training_set: TrainingSet, folder: Path) -> pa.Table:
    return pq.read_table(folder / str(training_set.recipe.validation_dataset))


def months(flights: pa.Table, rows: pa.Table) -> set[int]:
    ids = rows[KEY].combine_chunks()
    return set(flights.filter(pc.is_in(flights[KEY], value_set=ids))[MONTH].to_pylist())


def test_there_is_one_model_per_carrier_and_airport(training_sets: dict[str, TrainingSet]) -> None:
    carriers = ["flights-ha", "flights-oo", "flights-vx"]
    assert list(training_sets) == [*carriers, "flights-from-ewr", "flights-from-jfk", "flights-from-lga"]
    trainers = {name: training_set.recipe.trainer for name, training_set in training_sets.items()}
    assert {name for name, trainer in trainers.items() if trainer == "xgboost"} == set(carriers)


def test_features_are_known_when_the_aircraft_leaves_the_gate(training_sets: dict[str, TrainingSet]) -> None:
    assert set(AIRPORT_FEATURES) | set(NUMBERS) <= KNOWN_AT_THE_GATE
    for training_set in training_sets.values():
        assert {feature.name for feature in training_set.recipe.features} <= KNOWN_AT_THE_GATE


def test_training_and_validation_months_do_not_overlap(
    flights: pa.Table, training_sets: dict[str, TrainingSet], folder: Path
) -> None:
    for training_set in training_sets.values():
        assert max(months(flights, training_rows(training_set, folder))) <= 9
        assert min(months(flights, validation_rows(training_set, folder))) >= 10


def test_every_flight_with_a_known_arrival_is_used(
    flights: pa.Table, training_sets: dict[str, TrainingSet], folder: Path
) -> None:
    known = flights.filter(pc.field("arr_delay").is_valid() & (pc.field(CARRIER) == "VX"))
    training_set = training_sets["flights-vx"]
    ids = {
        *training_rows(training_set, folder)[KEY].to_pylist(),
        *validation_rows(training_set, folder)[KEY].to_pylist(),
    }
    assert ids == set(known[KEY].to_pylist())
    assert (training_set.trained_on, training_set.validated_on, training_set.uses_other_carriers) == (
        "own flights",
        "own flights",
        False,
    )


def test_the_label_is_a_late_arrival(flights: pa.Table, training_sets: dict[str, TrainingSet], folder: Path) -> None:
    rows = validation_rows(training_sets["flights-vx"], folder)
    truth = dict(zip(flights[KEY].to_pylist(), flights["arr_delay"].to_pylist(), strict=True))
    assert [bool(value) for value in rows[LABEL].to_pylist()] == [truth[key] > 15 for key in rows[KEY].to_pylist()]


def test_a_carrier_with_few_flights_uses_those_of_all_carriers(
    training_sets: dict[str, TrainingSet], folder: Path
) -> None:
    training_set = training_sets["flights-oo"]
    assert (training_set.trained_on, training_set.uses_other_carriers) == ("all carriers", True)
    assert training_rows(training_set, folder).num_rows > 200
    assert validation_rows(training_set, folder).num_rows == 5
    assert training_sets["flights-ha"].trained_on == "own flights"


def test_a_carrier_that_is_always_on_time_uses_those_of_all_carriers(tmp_path: Path) -> None:
    flights = read_flights().filter(pc.field(CARRIER).isin(["VX", "HA"]))
    punctual = pc.if_else(pc.equal(flights[CARRIER], "HA"), pa.scalar(0, pa.int64()), flights["arr_delay"])
    flights = flights.set_column(flights.schema.get_field_index("arr_delay"), "arr_delay", punctual)
    [ha, *_] = write_training_data(flights, tmp_path)
    assert (ha.group.value, ha.trained_on, ha.validated_on) == ("HA", "all carriers", "all carriers")
    for rows in (training_rows(ha, tmp_path), validation_rows(ha, tmp_path)):
        assert set(rows[LABEL].to_pylist()) == {0, 1}


def test_training_data_has_flights_without_a_departure_delay(
    training_sets: dict[str, TrainingSet], folder: Path
) -> None:
    for training_set in training_sets.values():
        rows = training_rows(training_set, folder)
        assert rows["dep_delay"].null_count == pytest.approx(rows.num_rows / 6, rel=0.02)
        assert validation_rows(training_set, folder)["dep_delay"].null_count == 0


def test_the_same_flights_give_the_same_objects(flights: pa.Table, folder: Path, tmp_path: Path) -> None:
    write_training_data(flights, tmp_path)
    for path in tmp_path.rglob("*.parquet"):
        assert path.read_bytes() == (folder / path.relative_to(tmp_path)).read_bytes()


def test_recipes_name_dataset_key_and_types(training_sets: dict[str, TrainingSet]) -> None:
    recipe = training_sets["flights-from-jfk"].recipe
    assert recipe.dataset == Group(ORIGIN, "JFK").name == "flights-from-jfk"
    assert (recipe.key_columns, recipe.promotion) == ((KEY,), Promotion(floor=FLOOR))
    assert (recipe.fleet, recipe.route) == ("", ())
    carrier = training_sets["flights-oo"].recipe
    assert (carrier.dataset, carrier.fleet, carrier.route) == ("flights", "flights", ("OO",))
    types = {feature.name: feature.type for feature in recipe.features}
    assert types["dep_delay"] == "int64"
    assert types["carrier"] == "string"


def test_late_means_more_than_15_minutes() -> None:
    assert late(pa.table({"arr_delay": pa.array([-3, 15, 16])})).to_pylist() == [0, 0, 1]
