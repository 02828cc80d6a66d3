"""The fleet's recipes and what it learns from: will a flight arrive more than 15 minutes late? One model a carrier, one
an airport.

Honest means: a model sees at its training only flights of January to September whose arrival is known, and only what is
known when the aircraft leaves the gate. October to December judge it.
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
from examples.flights.data import CARRIER, KEY, MONTH, ORIGIN, Group, groups, rows_of

LATE_MINUTES = 15
LAST_TRAINING_MONTH = 9
LABEL = "late"
FLOOR = 0.5
"""Of the AUC: a model that is worse than a guess is never promoted."""
PROBABILITIES = ("probability_on_time", "probability_late")
"""The prediction columns of every model of the fleet, in the order of the classes."""

# The month is left out: none of the judged months occurs in the training, so a tree could only learn it by heart.
NUMBERS = ("day", "hour", "minute", "sched_arr_time", "distance", "dep_delay")
WORDS = (CARRIER, "dest")
FEATURES_OF_AIRPORTS = (*NUMBERS, *WORDS)

_FEWEST_ROWS = 200
"""A carrier with fewer known flights borrows those of all carriers: 24 flights teach a tree nothing."""
_EVERY_NTH_BORROWED = 5
_EVERY_NTH_FORGOTTEN = 5
_SEED = 2013
_OWN, _ALL = "own flights", "all carriers"

_TREES = {
    "num_boost_round": "80",
    "max_depth": "4",
    "learning_rate": "0.15",
    "min_child_weight": "5",
    # A model of 80 rounds is trained in less time than a checkpoint is worth.
    "checkpoint_rounds": "80",
}
_LOGISTIC = {"C": "1.0", "max_iter": "300"}


@dataclass(frozen=True)
class Lesson:
    """What one model learns from and is judged by, written as datasets of their own."""

    recipe: ModelRecipe
    group: Group
    trained_on: str
    """`own flights`, or `all carriers` where there were too few; the next one too."""
    judged_by: str

    @property
    def borrows(self) -> bool:
        return _ALL in (self.trained_on, self.judged_by)


@dataclass(frozen=True)
class TrainedModel:
    """How a model did on the flights that it had not seen, by the record of its version."""

    lesson: Lesson
    training_rows: int
    held_out_rows: int
    auc: float

    @property
    def group(self) -> Group:
        return self.lesson.group


def write_lessons(flights: pa.Table, folder: Path) -> list[Lesson]:
    """Write what every model learns from as `<folder>/<dataset>/flights.parquet`; carriers first, in their order."""
    known = flights.filter(pc.field("arr_delay").is_valid())
    known = known.append_column(LABEL, late(known))
    learning = known.filter(pc.field(MONTH) <= LAST_TRAINING_MONTH)
    judging = known.filter(pc.field(MONTH) > LAST_TRAINING_MONTH)
    all_groups = [*groups(flights, CARRIER), *groups(flights, ORIGIN)]
    with ThreadPoolExecutor() as pool:
        return list(pool.map(lambda group: _write_lesson(group, learning, judging, folder), all_groups))


def _write_lesson(group: Group, learning: pa.Table, judging: pa.Table, folder: Path) -> Lesson:
    own, trained_on = rows_of(learning, group), _OWN
    if own.num_rows < _FEWEST_ROWS or not has_both(own):
        own, trained_on = _every_nth(learning, _EVERY_NTH_BORROWED), _ALL
    judges, judged_by = rows_of(judging, group), _OWN
    if not has_both(judges):
        # Nothing can be told apart where all were late or all on time.
        judges, judged_by = _every_nth(judging, _EVERY_NTH_BORROWED), _ALL
    recipe = recipe_of(group, learning.schema)
    columns = [KEY, *FEATURES_OF_AIRPORTS, LABEL]
    for dataset, rows in ((recipe.training_dataset, forget_delays(own)), (recipe.validation_dataset or "", judges)):
        (folder / dataset).mkdir(parents=True, exist_ok=True)
        pq.write_table(rows.select(columns), folder / dataset / "flights.parquet")
    return Lesson(recipe, group, trained_on, judged_by)


def recipe_of(group: Group, schema: pa.Schema) -> ModelRecipe:
    """XGBoost for a carrier, scikit-learn for an airport."""
    of_carrier = group.column == CARRIER
    features = NUMBERS if of_carrier else FEATURES_OF_AIRPORTS
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
        dataset=group.name,
        label=LABEL,
        features=tuple(Feature(name, str(schema.field(name).type)) for name in features),
        method="predict_proba",
        key_columns=(KEY,),
        output_columns=PROBABILITIES,
        # A carrier's predictions stand beside the flight; an airport's are small, to be joined by the key.
        columns="all" if of_carrier else "keys",
        metric="auc",
        promotion=Promotion(floor=FLOOR),
        seed=_SEED,
        tags={"fleet": f"flights-by-{group.column}"},
        **fields,
    )


def trained_model(lesson: Lesson, version: ModelVersion) -> TrainedModel:
    made = version.trained_by
    rows = (made.rows_trained or 0, made.rows_held_out or 0) if made is not None else (0, 0)
    return TrainedModel(lesson, *rows, auc=version.metrics["auc"])


def late(flights: pa.Table) -> pa.Array:
    """The truth, for flights whose arrival is known: 1 for late, 0 for on time."""
    return pc.greater(flights["arr_delay"], LATE_MINUTES).cast(pa.int64())


def has_both(flights: pa.Table) -> bool:
    """Whether some flights were late and some on time."""
    return len(pc.unique(flights[LABEL])) > 1


def forget_delays(flights: pa.Table) -> pa.Table:
    """The flights, and every fifth of them once more without its departure delay.

    A flight that was cancelled has no such delay and no known arrival either, so no training flight lacks it: a model
    would meet its first null when it scores, and answer by accident.
    """
    again = _every_nth(flights, _EVERY_NTH_FORGOTTEN)
    position = flights.schema.get_field_index("dep_delay")
    unknown = pa.nulls(again.num_rows, flights.schema.field(position).type)
    return pa.concat_tables([flights, again.set_column(position, "dep_delay", unknown)])


def _every_nth(flights: pa.Table, n: int) -> pa.Table:
    return flights.take(np.arange(0, flights.num_rows, n))
