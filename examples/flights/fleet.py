"""Recipes and training data of the fleet, which predicts late arrivals (over 15 minutes).

There is one model per carrier, which together are a fleet: each flight is scored by the model of its
carrier. Beside it, there is one model per airport. A model trains on the flights of January to
September whose arrival is known. Its features are known when the aircraft leaves the gate, so that
its metrics are realistic. They are measured on the flights of October to December.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from contract.catalog.model_fields import Feature
from contract.catalog.models import ModelVersion
from contract.training.recipes import ModelRecipe, Promotion
from examples.flights.data import CARRIER, FLEET, KEY, MONTH, ORIGIN, Group, groups, rows_of

LATE_MINUTES = 15
LAST_TRAINING_MONTH = 9
LABEL = "late"
FLOOR = 0.5
"""Lowest AUC for promotion. A model that is worse than a guess is never promoted."""
PROBABILITIES = ("probability_on_time", "probability_late")
"""Prediction columns of every model, in the order of the classes."""

# The month is not a feature: the validation months do not occur in the training data, so trees
# cannot learn from it.
NUMBERS = ("day", "hour", "minute", "sched_arr_time", "distance", "dep_delay")
WORDS = (CARRIER, "dest")
AIRPORT_FEATURES = (*NUMBERS, *WORDS)

_FEWEST_ROWS = 200
"""Minimum number of rows to train on; a tree learns nothing from 24 flights.

Smaller carriers use flights of all carriers.
"""
_EVERY_NTH_SHARED = 5
_EVERY_NTH_WITHOUT_DELAY = 5
_SEED = 2013
_OWN, _ALL = "own flights", "all carriers"

_TREES = {
    "num_boost_round": "80",
    "max_depth": "4",
    "learning_rate": "0.15",
    "min_child_weight": "5",
    # Training 80 rounds is too short to be worth a checkpoint.
    "checkpoint_rounds": "80",
}
_LOGISTIC = {"C": "1.0", "max_iter": "300"}


@dataclass(frozen=True)
class TrainingSet:
    """The recipe of one model, and where its training and validation rows come from."""

    recipe: ModelRecipe
    group: Group
    trained_on: str
    """`own flights`, or `all carriers` if there were too few. Also the values of `validated_on`."""
    validated_on: str

    @property
    def uses_other_carriers(self) -> bool:
        return _ALL in (self.trained_on, self.validated_on)


@dataclass(frozen=True)
class TrainedModel:
    """The metrics of a trained model on validation flights, from its version's record."""

    training_set: TrainingSet
    training_rows: int
    held_out_rows: int
    auc: float

    @property
    def group(self) -> Group:
        return self.training_set.group


def write_training_data(flights: pa.Table, folder: Path) -> list[TrainingSet]:
    """Write each model's training and validation data as `<dataset>/flights.parquet`.

    Returns:
        one training set per model, carriers first, in alphabetical order.
    """
    known = flights.filter(pc.field("arr_delay").is_valid())
    known = known.append_column(LABEL, late(known))
    training = known.filter(pc.field(MONTH) <= LAST_TRAINING_MONTH)
    validation = known.filter(pc.field(MONTH) > LAST_TRAINING_MONTH)
    all_groups = [*groups(flights, CARRIER), *groups(flights, ORIGIN)]
    with ThreadPoolExecutor() as pool:
        return list(pool.map(lambda group: _write_training_set(group, training, validation, folder), all_groups))


def _write_training_set(group: Group, training: pa.Table, validation: pa.Table, folder: Path) -> TrainingSet:
    own, trained_on = rows_of(training, group), _OWN
    if own.num_rows < _FEWEST_ROWS or not has_both_classes(own):
        own, trained_on = _every_nth(training, _EVERY_NTH_SHARED), _ALL
    held_out, validated_on = rows_of(validation, group), _OWN
    if not has_both_classes(held_out):
        # An AUC needs both late and punctual flights.
        held_out, validated_on = _every_nth(validation, _EVERY_NTH_SHARED), _ALL
    recipe = recipe_of(group, training.schema)
    columns = [KEY, *AIRPORT_FEATURES, LABEL]
    for dataset, rows in (
        (recipe.training_dataset, with_missing_delays(own)),
        (recipe.validation_dataset or "", held_out),
    ):
        (folder / dataset).mkdir(parents=True, exist_ok=True)
        pq.write_table(rows.select(columns), folder / dataset / "flights.parquet")
    return TrainingSet(recipe, group, trained_on, validated_on)


def recipe_of(group: Group, schema: pa.Schema) -> ModelRecipe:
    """Return the recipe of a group's model: XGBoost for a carrier, scikit-learn for an airport."""
    of_carrier = group.column == CARRIER
    features = NUMBERS if of_carrier else AIRPORT_FEATURES
    fields: dict[str, Any] = (
        {"trainer": "xgboost", "format": "xgboost-sklearn-ubj", "hyperparameters": _TREES}
        if of_carrier
        else {
            "trainer": "sklearn",
            "estimator": "logistic_regression",
            "format": "sklearn-joblib",
            "hyperparameters": _LOGISTIC,
        }
    )
    return ModelRecipe(
        model_id=group.name,
        task="binary",
        training_dataset=f"{group.name}-to-learn",
        validation_dataset=f"{group.name}-to-judge",
        dataset=group.dataset,
        fleet=FLEET if of_carrier else "",
        route=(group.value,) if of_carrier else (),
        label=LABEL,
        features=tuple(Feature(name, str(schema.field(name).type)) for name in features),
        method="predict_proba",
        key_columns=(KEY,),
        output_columns=PROBABILITIES,
        # Predictions by carrier keep all columns of the flight; those by airport have only the key
        # to join by.
        columns="all" if of_carrier else "keys",
        metric="auc",
        promotion=Promotion(floor=FLOOR),
        seed=_SEED,
        tags={"by": group.column},
        **fields,
    )


def trained_model(training_set: TrainingSet, version: ModelVersion) -> TrainedModel:
    made = version.trained_by
    rows = (made.rows_trained or 0, made.rows_held_out or 0) if made is not None else (0, 0)
    return TrainedModel(training_set, *rows, auc=version.metrics["auc"])


def late(flights: pa.Table) -> pa.Array:
    """Return the label of flights with a known arrival: 1 for late, 0 for on time."""
    return pc.greater(flights["arr_delay"], LATE_MINUTES).cast(pa.int64())


def has_both_classes(flights: pa.Table) -> bool:
    """Tell whether some flights were late and some on time."""
    return len(pc.unique(flights[LABEL])) > 1


def with_missing_delays(flights: pa.Table) -> pa.Table:
    """Return the flights, and every fifth of them again without its departure delay.

    A cancelled flight has neither a departure delay nor a known arrival, so no training flight
    lacks the delay. Without these copies a model would see its first null when it scores.
    """
    again = _every_nth(flights, _EVERY_NTH_WITHOUT_DELAY)
    position = flights.schema.get_field_index("dep_delay")
    unknown = pa.nulls(again.num_rows, flights.schema.field(position).type)
    return pa.concat_tables([flights, again.set_column(position, "dep_delay", unknown)])


def _every_nth(flights: pa.Table, n: int) -> pa.Table:
    return flights.take(np.arange(0, flights.num_rows, n))
