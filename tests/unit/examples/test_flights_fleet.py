from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from contract.training.recipes import Promotion
from examples.flights.data import CARRIER, KEY, MONTH, ORIGIN, Group, read_flights
from examples.flights.fleet import FEATURES_OF_AIRPORTS, FLOOR, LABEL, NUMBERS, Lesson, late, write_lessons

KNOWN_AT_THE_GATE = {
    "month", "day", "sched_dep_time", "sched_arr_time", "hour", "minute", "distance", "dep_delay", "carrier", "dest"
}  # fmt: skip


@pytest.fixture(scope="module")
def flights() -> pa.Table:
    """A large, a small and a tiny carrier."""
    return read_flights().filter(pc.field(CARRIER).isin(["VX", "HA", "OO"]))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
def lessons(flights: pa.Table, folder: Path) -> dict[str, Lesson]:
    return {lesson.group.name: lesson for lesson in write_lessons(flights, folder)}


def learned(lesson: Lesson, folder: Path) -> pa.Table:
    return pq.read_table(folder / lesson.recipe.training_dataset)


def judged(lesson: Lesson, folder: Path) -> pa.Table:
    return pq.read_table(folder / str(lesson.recipe.validation_dataset))


def months(flights: pa.Table, rows: pa.Table) -> set[int]:
    ids = rows[KEY].combine_chunks()
    return set(flights.filter(pc.is_in(flights[KEY], value_set=ids))[MONTH].to_pylist())


def test_there_is_one_model_a_carrier_and_one_an_airport(lessons: dict[str, Lesson]) -> None:
    carriers = ["flights-ha", "flights-oo", "flights-vx"]
    assert list(lessons) == [*carriers, "flights-from-ewr", "flights-from-jfk", "flights-from-lga"]
    trainers = {name: lesson.recipe.trainer for name, lesson in lessons.items()}
    assert {name for name, trainer in trainers.items() if trainer == "xgboost"} == set(carriers)


def test_models_see_only_what_is_known_when_the_aircraft_leaves(lessons: dict[str, Lesson]) -> None:
    assert set(FEATURES_OF_AIRPORTS) | set(NUMBERS) <= KNOWN_AT_THE_GATE
    for lesson in lessons.values():
        assert {feature.name for feature in lesson.recipe.features} <= KNOWN_AT_THE_GATE


def test_no_model_is_judged_by_a_month_that_it_learned_from(
    flights: pa.Table, lessons: dict[str, Lesson], folder: Path
) -> None:
    for lesson in lessons.values():
        assert max(months(flights, learned(lesson, folder))) <= 9
        assert min(months(flights, judged(lesson, folder))) >= 10


def test_every_flight_with_a_known_arrival_is_learned_from_or_judged(
    flights: pa.Table, lessons: dict[str, Lesson], folder: Path
) -> None:
    known = flights.filter(pc.field("arr_delay").is_valid() & (pc.field(CARRIER) == "VX"))
    lesson = lessons["flights-vx"]
    ids = {*learned(lesson, folder)[KEY].to_pylist(), *judged(lesson, folder)[KEY].to_pylist()}
    assert ids == set(known[KEY].to_pylist())
    assert (lesson.trained_on, lesson.judged_by, lesson.borrows) == ("own flights", "own flights", False)


def test_the_label_is_a_late_arrival(flights: pa.Table, lessons: dict[str, Lesson], folder: Path) -> None:
    rows = judged(lessons["flights-vx"], folder)
    truth = dict(zip(flights[KEY].to_pylist(), flights["arr_delay"].to_pylist(), strict=True))
    assert [bool(value) for value in rows[LABEL].to_pylist()] == [truth[key] > 15 for key in rows[KEY].to_pylist()]


def test_a_carrier_with_few_flights_borrows_those_of_all(lessons: dict[str, Lesson], folder: Path) -> None:
    lesson = lessons["flights-oo"]
    assert (lesson.trained_on, lesson.borrows) == ("all carriers", True)
    assert learned(lesson, folder).num_rows > 200
    assert judged(lesson, folder).num_rows == 5
    assert lessons["flights-ha"].trained_on == "own flights"


def test_a_carrier_that_was_always_on_time_borrows_too(tmp_path: Path) -> None:
    flights = read_flights().filter(pc.field(CARRIER).isin(["VX", "HA"]))
    punctual = pc.if_else(pc.equal(flights[CARRIER], "HA"), pa.scalar(0, pa.int64()), flights["arr_delay"])
    flights = flights.set_column(flights.schema.get_field_index("arr_delay"), "arr_delay", punctual)
    [ha, *_] = write_lessons(flights, tmp_path)
    assert (ha.group.value, ha.trained_on, ha.judged_by) == ("HA", "all carriers", "all carriers")
    for rows in (learned(ha, tmp_path), judged(ha, tmp_path)):
        assert set(rows[LABEL].to_pylist()) == {0, 1}


def test_models_meet_flights_without_a_departure_delay_when_they_learn(
    lessons: dict[str, Lesson], folder: Path
) -> None:
    for lesson in lessons.values():
        rows = learned(lesson, folder)
        assert rows["dep_delay"].null_count == pytest.approx(rows.num_rows / 6, rel=0.02)
        assert judged(lesson, folder)["dep_delay"].null_count == 0


def test_the_same_flights_give_the_same_objects(flights: pa.Table, folder: Path, tmp_path: Path) -> None:
    write_lessons(flights, tmp_path)
    for path in tmp_path.rglob("*.parquet"):
        assert path.read_bytes() == (folder / path.relative_to(tmp_path)).read_bytes()


def test_recipes_name_dataset_key_and_types(lessons: dict[str, Lesson]) -> None:
    recipe = lessons["flights-from-jfk"].recipe
    assert recipe.dataset == Group(ORIGIN, "JFK").name == "flights-from-jfk"
    assert (recipe.key_columns, recipe.promotion) == ((KEY,), Promotion(floor=FLOOR))
    types = {feature.name: feature.type for feature in recipe.features}
    assert types["dep_delay"] == "int64"
    assert types["carrier"] == "string"


def test_late_is_more_than_a_quarter_of_an_hour() -> None:
    assert late(pa.table({"arr_delay": pa.array([-3, 15, 16])})).to_pylist() == [0, 0, 1]
