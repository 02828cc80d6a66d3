"""Trains the fleet: will a flight arrive more than 15 minutes late? One model a carrier, one an airport.

Honest means: a model sees at its training only flights of January to September whose arrival is known, and only what is
known when the aircraft leaves the gate. October to December judge it.
"""

import gzip
import io
import os
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import sklearn
import xgboost
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from cli.model_document import ModelDocument
from contract.spec import Feature
from examples.flights.data import CARRIER, KEY, MONTH, ORIGIN, Group, groups, rows_of

LATE_MINUTES = 15
LAST_TRAINING_MONTH = 9
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

Labels = npt.NDArray[np.int64]


@dataclass(frozen=True)
class TrainedModel:
    """A packed model, ready to be registered, and how it did on the flights that it had not seen."""

    group: Group
    document: ModelDocument
    training_rows: int
    trained_on: str
    """`own flights`, or `all carriers` where there were too few."""
    held_out_rows: int
    auc: float | None
    """None when the held-out flights were all late or all on time: there is nothing to tell apart."""
    log_loss: float | None
    """None when no flight was held out."""


def train_fleet(flights: pa.Table, folder: Path, *, workers: int | None = None) -> list[TrainedModel]:
    """Train every model and pack each as `<folder>/<model id>/model.tar.gz`; carriers first, in alphabetical order."""
    known = flights.filter(pc.field("arr_delay").is_valid())
    training, held_out = (
        known.filter(pc.field(MONTH) <= LAST_TRAINING_MONTH),
        known.filter(pc.field(MONTH) > LAST_TRAINING_MONTH),
    )
    airports, carriers = groups(flights, ORIGIN), groups(flights, CARRIER)
    with ThreadPoolExecutor(workers or os.cpu_count()) as pool:
        # The airports first: theirs take longest.
        trained = {
            group: pool.submit(_train, group, rows_of(training, group), rows_of(held_out, group), training, folder)
            for group in [*airports, *carriers]
        }
        return [trained[group].result() for group in [*carriers, *airports]]


def _train(group: Group, own: pa.Table, held_out: pa.Table, everybody: pa.Table, folder: Path) -> TrainedModel:
    labels, trained_on = late(own), "own flights"
    if own.num_rows < _FEWEST_ROWS or labels.all() or not labels.any():
        own = everybody.take(np.arange(0, everybody.num_rows, _EVERY_NTH_BORROWED))
        trained_on = "all carriers"
    rows = forget_delays(own)
    labels = late(rows)
    if group.column == CARRIER:
        model: Any = carrier_model().fit(frame(rows, NUMBERS), labels)
        probabilities = predict_late(model, held_out, NUMBERS)
        serialized = _save_xgboost(model)
    else:
        model = airport_model().fit(frame(rows, FEATURES_OF_AIRPORTS), labels)
        probabilities = predict_late(model, held_out, FEATURES_OF_AIRPORTS)
        serialized = _save_joblib(model)
    auc, loss = judge(late(held_out), probabilities)
    tags = {
        "fleet": f"flights-by-{group.column}",
        "trained-on": trained_on,
        "held-out-auc": _figure(auc),
        "held-out-log-loss": _figure(loss),
    }
    artifact = folder / group.name / "model.tar.gz"
    artifact.parent.mkdir(parents=True, exist_ok=True)
    document = _document(group, artifact, own.schema, tags)
    artifact.write_bytes(pack({document.model_file: serialized}))
    return TrainedModel(group, document, own.num_rows, trained_on, held_out.num_rows, auc, loss)


def judge(truth: Labels, probabilities: npt.NDArray[Any]) -> tuple[float | None, float | None]:
    """AUC and log loss; None for what so few flights do not define."""
    if not truth.size:
        return None, None
    auc = float(roc_auc_score(truth, probabilities)) if 0 < truth.sum() < truth.size else None
    return auc, float(log_loss(truth, probabilities, labels=[0, 1]))


def late(flights: pa.Table) -> Labels:
    """The truth, for flights whose arrival is known: 1 for late, 0 for on time."""
    return np.asarray(pc.greater(flights["arr_delay"], LATE_MINUTES).to_numpy(zero_copy_only=False), dtype=np.int64)


def forget_delays(flights: pa.Table) -> pa.Table:
    """The flights, and every fifth of them once more without its departure delay.

    A flight that was cancelled has no such delay and no known arrival either, so no training flight lacks it: a model
    would meet its first null when it scores, and answer by accident.
    """
    again = flights.take(np.arange(0, flights.num_rows, _EVERY_NTH_FORGOTTEN))
    position = flights.schema.get_field_index("dep_delay")
    unknown = pa.nulls(again.num_rows, flights.schema.field(position).type)
    return pa.concat_tables([flights, again.set_column(position, "dep_delay", unknown)])


def predict_late(model: Any, flights: pa.Table, features: Sequence[str]) -> npt.NDArray[Any]:
    """The probability of each flight to arrive late."""
    if not flights.num_rows:
        return np.empty(0)
    return np.asarray(model.predict_proba(frame(flights, features))[:, 1])


def frame(flights: pa.Table, features: Sequence[str]) -> Any:
    """Feature columns as a pandas DataFrame: a model that was trained on names refuses columns in another order."""
    return flights.select(list(features)).to_pandas()


def carrier_model() -> Any:
    # One thread a model: the pool trains several at once, and the result does not depend on the machine.
    return xgboost.XGBClassifier(
        n_estimators=80,
        max_depth=4,
        learning_rate=0.15,
        min_child_weight=5,
        subsample=1.0,
        n_jobs=1,
        random_state=_SEED,
    )


def airport_model() -> Any:
    middle = Pipeline([("impute", SimpleImputer(strategy="median", add_indicator=True)), ("scale", StandardScaler())])
    words = OneHotEncoder(handle_unknown="ignore")
    # By position, so that the pipeline takes rows with and without column names.
    count = len(NUMBERS)
    columns = ColumnTransformer(
        [("numbers", middle, list(range(count))), ("words", words, list(range(count, count + len(WORDS))))]
    )
    return Pipeline([("columns", columns), ("classify", LogisticRegression(C=1.0, max_iter=300))])


def pack(files: Mapping[str, bytes]) -> bytes:
    """A model.tar.gz as SageMaker training makes it; the same files give the same bytes, so the digest is stable."""
    packed = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=packed, mode="wb", filename="", mtime=0) as compressed,
        tarfile.open(fileobj=compressed, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        for name, content in sorted(files.items()):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return packed.getvalue()


def _document(group: Group, artifact: Path, schema: pa.Schema, tags: Mapping[str, str]) -> ModelDocument:
    of_carrier = group.column == CARRIER
    features = NUMBERS if of_carrier else FEATURES_OF_AIRPORTS
    return ModelDocument(
        model_id=group.name,
        artifact=str(artifact.resolve()),
        dataset=group.name,
        format="xgboost-sklearn-ubj" if of_carrier else "sklearn-joblib",
        model_file="model.ubj" if of_carrier else "model.joblib",
        method="predict_proba",
        features=tuple(Feature(name, str(schema.field(name).type)) for name in features),
        framework_version=xgboost.__version__ if of_carrier else sklearn.__version__,
        key_columns=(KEY,),
        output_columns=PROBABILITIES,
        # A carrier's predictions stand beside the flight; an airport's are small, to be joined by the key.
        columns="all" if of_carrier else "keys",
        tags=tags,
    )


def _figure(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.4f}"


def _save_xgboost(model: Any) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.ubj"
        model.save_model(path)
        return path.read_bytes()


def _save_joblib(model: Any) -> bytes:
    content = io.BytesIO()
    joblib.dump(model, content)
    return content.getvalue()
