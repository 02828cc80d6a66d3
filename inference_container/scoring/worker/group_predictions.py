"""Predicts small objects together, one call per model, and returns the results of each object."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pyarrow as pa

from scoring.columns.features import FeatureBatch
from scoring.columns.predictions import prediction_columns
from scoring.columns.row_blocks import join_in_blocks, rows_in_blocks
from scoring.errors import ScoringError
from scoring.readers import InputBatch
from scoring.worker.object_predictor import BatchResult, ObjectPredictor, PreparedBatch, ThreadSafeModel

Result = BatchResult | ScoringError


class GroupPredictor:
    """Predicts a group, of which each object has one batch.

    A result is the same as that of `ObjectPredictor.predict` for the object's batch. What models
    with the same features have in common is computed once.
    """

    def __init__(self, items: Sequence[InputBatch]) -> None:
        self._items = [replace(item, shared={}) for item in items]
        self._prepared: dict[tuple[object, ...], PreparedBatch] = {}
        self._joined: dict[tuple[object, ...], FeatureBatch] = {}

    def predict(self, predictors: Mapping[int, ObjectPredictor]) -> dict[int, Result]:
        """Predict with one model, given its predictor per object, by the object's place in the group."""
        models = {predictor.model for predictor in predictors.values()}
        if len(models) != 1:
            raise ValueError("the predictors of one model are needed")
        [model] = models
        if not model.predicts_together:
            return {place: self._alone(place, predictor) for place, predictor in predictors.items()}
        results: dict[int, Result] = {}
        together: dict[frozenset[str], dict[int, PreparedBatch]] = {}
        for place, predictor in predictors.items():
            prepared = self._prepare(place, predictor)
            if prepared is None:
                results[place] = self._alone(place, predictor)
            else:
                nulls = predictor.with_nulls & model.dtype_depends_on_nulls
                together.setdefault(nulls, {})[place] = prepared
        for prepared_by_place in together.values():
            results |= self._predict_together(model, predictors, prepared_by_place)
        return results

    def _alone(self, place: int, predictor: ObjectPredictor) -> Result:
        return predictor.predict(self._items[place])

    def _prepare(self, place: int, predictor: ObjectPredictor) -> PreparedBatch | None:
        """Return the features of an object's rows that are not skipped.

        None if it has bad rows, which are explained alone, or no row to predict.
        """
        item, model = self._items[place], predictor.model
        key = (place, id(model.features), predictor.tolerated)
        prepared = self._prepared.get(key)
        if prepared is None:
            try:
                prepared = predictor.prepare(item)
            except (ScoringError, MemoryError):
                return None
            if prepared.skipped is not None:
                mask = pa.array(~prepared.skipped)
                prepared = replace(prepared, arrays=tuple(array.filter(mask) for array in prepared.arrays))
            if not model.has_categories and not item.unfit:
                self._prepared[key] = prepared
        return None if prepared.reasons or not prepared.rows or item.unfit else prepared

    def _predict_together(
        self, model: ThreadSafeModel, predictors: Mapping[int, ObjectPredictor], prepared: Mapping[int, PreparedBatch]
    ) -> dict[int, Result]:
        """Predict objects in one call, or in halves if something in it fails."""
        if len(prepared) == 1:
            [place] = prepared
            return {place: self._alone(place, predictors[place])}
        try:
            return self._one_call(model, predictors, prepared)
        # A model's code may raise anything, and may even call sys.exit.
        except BaseException:
            places = list(prepared)
            middle = len(places) // 2
            halves = (places[:middle], places[middle:])
            found = [
                self._predict_together(model, predictors, {place: prepared[place] for place in half}) for half in halves
            ]
            return found[0] | found[1]

    def _one_call(
        self, model: ThreadSafeModel, predictors: Mapping[int, ObjectPredictor], prepared: Mapping[int, PreparedBatch]
    ) -> dict[int, Result]:
        started = time.perf_counter()
        features = self._join(model, predictors, prepared)
        values = model.predict_as_given(features)
        columns, missing = prediction_columns(model.spec, model.outputs, values, features.rows)
        seconds = (time.perf_counter() - started) / len(prepared)
        results: dict[int, Result] = {}
        start = 0
        for place, batch in prepared.items():
            stop = start + rows_in_blocks(batch.rows)
            if any(start <= row < stop for row in missing):
                results[place] = self._alone(place, predictors[place])
            else:
                found: list[pa.Array] = [column.slice(start, batch.rows) for column in columns]
                results[place] = BatchResult(found, counts=batch.counts, seconds=seconds)
                if batch.skipped is not None:
                    count = int(batch.skipped.sum())
                    results[place] = BatchResult(
                        found, ~batch.skipped, counts=batch.counts, skipped=count, seconds=seconds
                    )
            start = stop
        return results

    def _join(
        self, model: ThreadSafeModel, predictors: Mapping[int, ObjectPredictor], prepared: Mapping[int, PreparedBatch]
    ) -> FeatureBatch:
        first = predictors[next(iter(prepared))]
        key = (id(model.features), tuple(prepared), first.with_nulls)
        if key not in self._joined or model.has_categories:
            batches = [first.features(batch.arrays, None) for batch in prepared.values()]
            self._joined[key] = join_in_blocks(batches, {})
        return self._joined[key]
