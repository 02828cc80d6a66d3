"""Opens the predictors of one object, with the types that its columns have for all of them."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Generic, TypeVar

from contract.job.scoring_spec import PinnedObject
from scoring.errors import ScoringError
from scoring.readers import InputObject
from scoring.worker.object_predictor import ObjectPredictor, ThreadSafeModel

T = TypeVar("T")


@dataclass
class Opened(Generic[T]):
    """The models that can score the object, and those that cannot."""

    found: list[T]
    columns: frozenset[str]
    """The columns that batches must have."""
    errors: list[tuple[str, ScoringError]]
    """Model id and reason of each model that cannot score the object."""


class ObjectPredictors:
    """Opens the predictors of one object."""

    def __init__(self, pinned: PinnedObject, source: InputObject) -> None:
        self._pinned = pinned
        self._source = source
        self._nulls: dict[int, tuple[dict[str, int], frozenset[str]]] = {}
        """Null counts, and the columns with nulls, per list of features."""

    def open_each(
        self, models: Collection[ThreadSafeModel], choose: Callable[[ObjectPredictor], tuple[T, frozenset[str]]]
    ) -> Opened[T]:
        """Open each model, and pass it to `choose`, which returns a result and the columns that it needs.

        `choose` is called again for all models if the types of columns have changed. It may raise
        ScoringError for a model that cannot score the object.
        """
        opened: Opened[T] = Opened([], frozenset(), [])
        changed = False
        for model in models:
            try:
                result, columns = choose(self._open(model))
                changed |= self.change_types(columns)
            except ScoringError as error:
                opened.errors.append((model.spec.model_id, error))
            else:
                opened.found.append(result)
                opened.columns |= columns
        return self.open_each(models, choose) if changed else opened

    def change_types(self, columns: frozenset[str]) -> bool:
        """Choose the types of columns that are read. Returns whether that has changed a type.

        Then what was opened before has the old types. Raises ScoringError.
        """
        changed = self._source.choose_types(columns)
        if changed:
            self._nulls.clear()
        return changed

    def _open(self, model: ThreadSafeModel) -> ObjectPredictor:
        source = self._source
        nulls, with_nulls = self._null_counts(model)
        plan = model.plan(self._pinned.key, source.schema, nulls, source.absent)
        return ObjectPredictor(model, self._pinned.key, source.rows, plan, with_nulls)

    def _null_counts(self, model: ThreadSafeModel) -> tuple[dict[str, int], frozenset[str]]:
        key = id(model.features)
        if key not in self._nulls:
            counts = self._source.null_counts([feature.name for feature in model.features])
            self._nulls[key] = counts, frozenset(name for name, count in counts.items() if count)
        return self._nulls[key]
