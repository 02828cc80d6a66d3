import hashlib
import io
import tarfile
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
import xgboost

from cli.artifact import inspect_artifact
from examples.flights import fleet
from examples.flights.data import CARRIER, KEY, ORIGIN, Group, read_flights
from examples.flights.fleet import FEATURES_OF_AIRPORTS, NUMBERS, TrainedModel

KNOWN_AT_THE_GATE = {
    "month", "day", "sched_dep_time", "sched_arr_time", "hour", "minute", "distance", "dep_delay", "carrier", "dest"
}  # fmt: skip


@pytest.fixture(scope="module")
def flights() -> pa.Table:
    """A large, a small and a tiny carrier."""
    return read_flights().filter(pc.field(CARRIER).isin(["VX", "HA", "OO"]))


@pytest.fixture(scope="module")
def trained(flights: pa.Table, tmp_path_factory: pytest.TempPathFactory) -> dict[str, TrainedModel]:
    models = fleet.train_fleet(flights, tmp_path_factory.mktemp("models"))
    return {model.group.name: model for model in models}


def unpack(model: TrainedModel) -> bytes:
    with tarfile.open(model.document.artifact) as archive:
        member = archive.extractfile(model.document.model_file)
        assert member is not None
        return member.read()


def test_there_is_one_model_a_carrier_and_one_an_airport(trained: dict[str, TrainedModel]) -> None:
    carriers = ["flights-ha", "flights-oo", "flights-vx"]
    assert list(trained) == [*carriers, "flights-from-ewr", "flights-from-jfk", "flights-from-lga"]


def test_models_see_only_what_is_known_when_the_aircraft_leaves() -> None:
    assert set(FEATURES_OF_AIRPORTS) | set(NUMBERS) <= KNOWN_AT_THE_GATE


def test_training_flights_are_of_the_first_nine_months_and_judged_ones_of_the_others(
    trained: dict[str, TrainedModel], flights: pa.Table
) -> None:
    known = flights.filter(pc.field("arr_delay").is_valid() & (pc.field(CARRIER) == "VX"))
    early = pc.sum(pc.less_equal(known["month"], 9)).as_py()
    model = trained["flights-vx"]
    assert (model.training_rows, model.held_out_rows) == (early, known.num_rows - early)
    assert model.auc is not None
    assert model.auc > 0.6


def test_a_carrier_with_few_flights_borrows_those_of_all(trained: dict[str, TrainedModel]) -> None:
    assert trained["flights-oo"].trained_on == "all carriers"
    assert trained["flights-oo"].training_rows > 200
    assert trained["flights-oo"].held_out_rows == 5
    assert trained["flights-ha"].trained_on == "own flights"
    assert trained["flights-oo"].document.tags is not None
    assert trained["flights-oo"].document.tags["trained-on"] == "all carriers"


def test_a_carrier_that_was_always_on_time_borrows_too(tmp_path: Path) -> None:
    flights = read_flights().filter(pc.field(CARRIER).isin(["VX", "HA"]))
    punctual = pc.if_else(pc.equal(flights[CARRIER], "HA"), pa.scalar(0, pa.int64()), flights["arr_delay"])
    flights = flights.set_column(flights.schema.get_field_index("arr_delay"), "arr_delay", punctual)
    [ha, *_] = fleet.train_fleet(flights, tmp_path)
    assert (ha.group.value, ha.trained_on, ha.auc) == ("HA", "all carriers", None)
    assert ha.log_loss is not None
    assert ha.document.tags is not None
    assert ha.document.tags["held-out-auc"] == "undefined"


def test_what_no_flight_was_held_out_for_is_not_judged() -> None:
    assert fleet.judge(np.empty(0, dtype=np.int64), np.empty(0)) == (None, None)


def test_the_packed_model_predicts_what_it_was_judged_by(trained: dict[str, TrainedModel], flights: pa.Table) -> None:
    held_out = flights.filter((pc.field("month") > 9) & pc.field("arr_delay").is_valid())
    carrier = trained["flights-vx"]
    assert inspect_artifact(Path(carrier.document.artifact), carrier.document.model_file) == []
    booster: Any = xgboost.XGBClassifier()
    booster.load_model(bytearray(unpack(carrier)))
    own = held_out.filter(pc.field(CARRIER) == "VX")
    assert fleet.judge(fleet.late(own), fleet.predict_late(booster, own, NUMBERS)) == pytest.approx(
        (carrier.auc, carrier.log_loss)
    )
    airport = trained["flights-from-jfk"]
    pipeline: Any = joblib.load(io.BytesIO(unpack(airport)))
    own = held_out.filter(pc.field(ORIGIN) == "JFK")
    judged = fleet.judge(fleet.late(own), fleet.predict_late(pipeline, own, FEATURES_OF_AIRPORTS))
    assert judged == pytest.approx((airport.auc, airport.log_loss))


def test_a_flight_without_a_delay_is_not_taken_for_a_late_one(
    trained: dict[str, TrainedModel], flights: pa.Table
) -> None:
    cancelled = flights.filter(pc.field("dep_delay").is_null())
    booster: Any = xgboost.XGBClassifier()
    booster.load_model(bytearray(unpack(trained["flights-vx"])))
    assert 0.05 < fleet.predict_late(booster, cancelled, NUMBERS).mean() < 0.6


def test_the_same_flights_give_the_same_digest(
    trained: dict[str, TrainedModel], flights: pa.Table, tmp_path: Path
) -> None:
    def digests(models: list[TrainedModel]) -> list[str]:
        return [hashlib.sha256(Path(model.document.artifact).read_bytes()).hexdigest() for model in models]

    assert digests(fleet.train_fleet(flights, tmp_path, workers=1)) == digests(list(trained.values()))


def test_documents_name_dataset_key_and_types(trained: dict[str, TrainedModel]) -> None:
    document = trained["flights-from-jfk"].document
    assert document.dataset == Group(ORIGIN, "JFK").name == "flights-from-jfk"
    assert document.key_columns == (KEY,)
    types = {feature.name: feature.type for feature in document.features}
    assert types["dep_delay"] == "int64"
    assert types["carrier"] == "string"
