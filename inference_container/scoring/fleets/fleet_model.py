"""The one model that a fleet's members are together."""

import itertools
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from contract.catalog.model_spec import ModelSpec
from contract.catalog.routes import SKIP
from contract.job.fleet import MODEL_ID_COLUMN, MODEL_VERSION_COLUMN, FleetSpec
from scoring.columns.feature_casts import cast_to_declared
from scoring.columns.features import FeatureBatch
from scoring.columns.predictions import ReadyColumns, numeric_column, prediction_columns
from scoring.columns.row_blocks import RowBlocks, rows_in_blocks
from scoring.errors import ModelError, Reason, ScoringError, error_of_kind, with_cause
from scoring.fleets.member_rows import Share, SortedRows
from scoring.fleets.members import Member, MemberCache
from scoring.fleets.routes import UNMATCHED, Routes
from scoring.fleets.setup import batches_for_members
from scoring.models import LoadedModel, batch_size_factor, rows_are_independent, threads_help
from scoring.models.categories import Categories
from scoring.readers import InputObject, Reading
from scoring.readers.text.cell_types import text_array

_MAX_FIRST_MEMBERS = 10
"""Members that are tried until one can be loaded, which tells the prediction columns."""
_MEMBERS_FOR_PROCESSES = 32
"""Number of members from which a call has so few rows that Python's lock is what threads wait for."""


class FleetModel:
    """The members of a fleet as one model: a LoadedModel that predicts columns.

    Its predictions are those of the members, followed by the member's id and version. Rows of
    several objects may be in one call: a member whose rows depend on each other is called once per
    object.
    """

    concurrent = True
    rows_are_independent = True
    native: Any = None

    def __init__(
        self,
        fleet: FleetSpec,
        spec: ModelSpec,
        members: Sequence[Member],
        *,
        features: int,
        cache_bytes: int,
        has_several_formats: bool,
    ) -> None:
        """`spec` is that of the fleet as one model; its first `features` features are those of the members.

        Members with several file formats may predict floats of different precision, such as float of
        XGBoost and double of scikit-learn. All are written as double.

        Raises ScoringError if no member can be loaded, or if the routes do not fit their column.
        """
        self.fleet = fleet
        self._spec = spec
        self._features = features
        self._members = members
        types = {feature.name: feature.type for feature in spec.features}
        places = {member.model_id: place for place, member in enumerate(members)}
        self._routes = Routes(fleet, types[fleet.route_by], places)
        self._ids = text_array([member.model_id for member in members])
        self._versions = text_array([member.version for member in members])
        self.cache = MemberCache(cache_bytes, self._check_outputs)
        self._has_several_formats = has_several_formats
        self._first: Member | None = None
        self._outputs: tuple[pa.Field, ...] = ()
        self._first, loaded = self._load_first()
        self._outputs = self._outputs_of(loaded)
        named = (pa.field(MODEL_ID_COLUMN, pa.string()), pa.field(MODEL_VERSION_COLUMN, pa.string()))
        self.outputs: tuple[pa.Field, ...] = (*self._outputs, *named)
        self.notes = tuple(f"model {self._first.model_id!r}: {note}" for note in loaded.notes)
        is_large = len(members) >= _MEMBERS_FOR_PROCESSES
        self.batch_size_factor = max(batch_size_factor(loaded), batches_for_members(len(members)))
        # Processes get an object in parts, whose number changes a prediction that depends on other rows.
        self.holds_gil = (is_large and rows_are_independent(loaded)) or not threads_help(loaded)
        self._may_have_categories = np.array([*([True] * len(members)), False])
        """By place of the member; false once it is loaded and has none. The last is of rows without a member."""

    def check_rows(
        self,
        batch: FeatureBatch,
        reasons: dict[int, Reason],
        counts: dict[Reading, int],
        *,
        unreadable: Collection[int],
        max_bad: int,
    ) -> npt.NDArray[np.bool_] | None:
        """Check the rows before their prediction.

        Adds to `reasons` the rows without a member, up to `max_bad` + 1, and those with values that
        are not among the categories of their member. `unreadable` are rows whose route cannot be
        read, which have a reason.

        Returns a mask of the rows to skip, which lose their reasons; None if there are none.
        """
        places = self._places(batch)
        unmatched = places == UNMATCHED
        skipped = None
        if unmatched.any():
            unmatched[list(unreadable)] = False
            if self.fleet.unmatched == SKIP:
                skipped = unmatched
                for index in [index for index in reasons if skipped[index]]:
                    del reasons[index]
            else:
                self._add_unmatched(batch, np.flatnonzero(unmatched)[: max_bad + 1].tolist(), reasons)
        if self._may_have_categories[places].any():
            self._check_categories(batch, places, reasons, counts)
        return skipped

    def has_rows_to_skip(self, source: InputObject, batch_rows: int) -> bool:
        """Return whether rows of an object are to be skipped. Reads their routes only. Raises DataError."""
        if self.fleet.unmatched != SKIP:
            return False
        name = self.fleet.route_by
        feature = next(feature for feature in self._spec.features if feature.name == name)
        for item in source.batches(batch_rows, frozenset({name}), use_threads=False):
            cast = cast_to_declared(feature, item.batch.column(name), 0)
            if cast.bad or (self._routes.find(cast.array) == UNMATCHED).any():
                return True
        return False

    def name_of_member(self, batch: FeatureBatch, row: int) -> str:
        """Return the id of the member that scores a row."""
        return self._members[int(self._places(batch.slice(row, 1))[0])].model_id

    def predict(self, batch: FeatureBatch) -> ReadyColumns:
        """Return the prediction columns of rows that all have a member.

        Raises ScoringError if a member cannot be loaded, and the errors of the members' libraries.
        """
        batches = batch.batches if isinstance(batch, RowBlocks) else (batch,)
        found = [self._places(each) for each in batches]
        places = found[0] if len(found) == 1 else np.concatenate(found)
        ends = np.cumsum([each.rows for each in batches])
        rows = SortedRows(batches, self._features, places)
        values: list[Any] = [None] * len(rows.shares)
        for index in self._in_order_of_cache(rows.shares):
            values[index] = self._predict_share(rows, rows.shares[index], ends)
        predicted = self._in_row_order(rows, values)
        taken = numeric_column(places)
        columns = [*predicted.columns, self._ids.take(taken), self._versions.take(taken)]
        return _in_layout_of(batches, ReadyColumns(columns, predicted.missing))

    def _places(self, batch: FeatureBatch) -> npt.NDArray[np.int32]:
        """Return the place of each row's member, or UNMATCHED."""
        return self._routes.find(batch.arrays[batch.names.index(self.fleet.route_by)])

    def _add_unmatched(self, batch: FeatureBatch, indexes: Sequence[int], reasons: dict[int, Reason]) -> None:
        routes = batch.arrays[batch.names.index(self.fleet.route_by)]
        name = f"column {self.fleet.route_by!r}"
        change = f"change `unmatched` with `fleetscore fleets set {self.fleet.fleet_id}`"
        for index in indexes:
            if routes[index].is_valid:
                text = f"{name} has a route of no model of fleet {self.fleet.fleet_id!r}"
                reasons[index] = Reason(text, repr(routes[index].as_py()), f"register a model for the route, {change}")
            else:
                text = f"{name} is null, so the row has no model of fleet {self.fleet.fleet_id!r}"
                reasons[index] = Reason(text, remedy=f"correct the data, {change}")

    def _check_categories(
        self,
        batch: FeatureBatch,
        places: npt.NDArray[np.int32],
        reasons: dict[int, Reason],
        counts: dict[Reading, int],
    ) -> None:
        for place in np.unique(places[self._may_have_categories[places]]).tolist():
            categories: Categories | None = getattr(self._load(self._members[place]), "categories", None)
            if not categories:
                self._may_have_categories[place] = False
                continue
            rows = np.flatnonzero(places == place)
            taken = numeric_column(rows)
            for name, array in zip(batch.names, batch.arrays, strict=True):
                own_reasons: dict[int, Reason] = {}
                categories.check(name, array.take(taken), own_reasons, counts)
                for index, reason in own_reasons.items():
                    reasons.setdefault(int(rows[index]), reason)

    def _in_order_of_cache(self, shares: Sequence[Share]) -> list[int]:
        """Return the places of shares, those of loaded members first.

        Otherwise, a fleet that is larger than the cache would evict each member before its next use.
        """
        return sorted(range(len(shares)), key=lambda index: self._members[shares[index].place] not in self.cache)

    def _predict_share(self, rows: SortedRows, share: Share, ends: npt.NDArray[np.int64]) -> Any:
        member = self._members[share.place]
        loaded = self._load(member)
        if rows_are_independent(loaded):
            values = member.predict(loaded, rows.in_blocks(share))
            return self._checked(member, values, rows_in_blocks(share.rows), share.rows)
        own = rows.order[share.start : share.start + share.rows]
        # The member's rows of each object, because they may depend on each other.
        bounds = np.searchsorted(own, [0, *ends]).tolist()
        parts = []
        for first, stop in itertools.pairwise(bounds):
            if first < stop:
                values = member.predict(loaded, rows.rows_of(share, first, stop))
                parts.append(self._checked(member, values, stop - first, stop - first))
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _checked(self, member: Member, values: Any, given: int, rows: int) -> npt.NDArray[Any]:
        """Return the first rows of a member's predictions for `given` rows, rows x outputs."""
        try:
            array = np.asarray(values)
        except ValueError:
            array = np.empty(0)
        if array.ndim == 1:
            array = array.reshape(-1, 1)
        if array.shape == (given, len(self._outputs)):
            return array[:rows]
        try:
            prediction_columns(self._spec, self._outputs, values, given)
        except ModelError as error:
            raise _of_member(member, error) from error
        raise ModelError(f"model {member.model_id!r}: it gave predictions of an unknown kind")

    def _in_row_order(self, rows: SortedRows, values: Sequence[npt.NDArray[Any]]) -> ReadyColumns:
        """Return the predictions of all members, whose rows are sorted, in the order of the rows."""
        if _have_one_type(values):
            joined = np.concatenate(values)
            ordered = np.empty_like(joined)
            ordered[rows.order] = joined
            try:
                return ReadyColumns(*prediction_columns(self._spec, self._outputs, ordered, len(ordered)))
            # Explained below, where the member is known.
            except ModelError:
                pass
        chunks: list[list[pa.Array]] = []
        missing: dict[int, str] = {}
        for share, found in zip(rows.shares, values, strict=True):
            try:
                columns, without = prediction_columns(self._spec, self._outputs, found, share.rows)
            except ModelError as error:
                raise _of_member(self._members[share.place], error) from error
            chunks.append(columns)
            missing |= {int(rows.order[share.start + index]): reason for index, reason in without.items()}
        places = np.empty_like(rows.order)
        places[rows.order] = np.arange(len(rows.order))
        taken = numeric_column(places)
        joined_columns = [pa.concat_arrays(list(column)).take(taken) for column in zip(*chunks, strict=True)]
        return ReadyColumns(joined_columns, missing)

    def _load(self, member: Member) -> LoadedModel:
        try:
            return self.cache.get(member)
        except ScoringError as error:
            routes = [route for route, model_id in self.fleet.routes.items() if model_id == member.model_id]
            name = f"route {routes[0]!r}" if routes else "rows without a route"
            raise with_cause(error_of_kind(error.kind, f"{name}: {error.text}"), error) from error

    def _load_first(self) -> tuple[Member, LoadedModel]:
        failure: ScoringError | None = None
        for member in [member for member in self._members if member.is_extracted][:_MAX_FIRST_MEMBERS]:
            try:
                return member, self.cache.get(member)
            except ScoringError as error:
                failure = failure or error
        assert failure is not None  # noqa: S101 - the first member is always extracted
        raise failure

    def _check_outputs(self, member: Member, loaded: LoadedModel) -> None:
        if self._first is None or self._outputs_of(loaded) == self._outputs:
            return
        raise ModelError(
            f"model {member.model_id!r}: its prediction columns are {_described(loaded.outputs)}, those of model "
            f"{self._first.model_id!r} of its fleet are {_described(self._outputs)}: register a version that predicts "
            "the same columns, or take the model out of the fleet"
        )

    def _outputs_of(self, loaded: LoadedModel) -> tuple[pa.Field, ...]:
        """Return the prediction columns as the fleet writes them."""
        if not self._has_several_formats:
            return loaded.outputs
        return tuple(
            field.with_type(pa.float64()) if pa.types.is_floating(field.type) else field for field in loaded.outputs
        )


def _described(fields: Sequence[pa.Field]) -> str:
    return ", ".join(f"{field.name!r} ({field.type})" for field in fields)


def _of_member(member: Member, error: ModelError) -> ModelError:
    return ModelError(f"model {member.model_id!r}: {error.text}")


def _have_one_type(values: Sequence[npt.NDArray[Any]]) -> bool:
    """Return whether arrays can be joined without changing a value."""
    first = values[0].dtype
    return all(array.dtype == first or array.dtype.kind == first.kind == "U" for array in values)


def _in_layout_of(batches: Sequence[FeatureBatch], ready: ReadyColumns) -> ReadyColumns:
    """Return the predictions with those of the rows that complete blocks; see RowBlocks."""
    rows = [batch.rows for batch in batches]
    if all(count == rows_in_blocks(count) for count in rows):
        return ready
    taken: list[npt.NDArray[np.int64]] = []
    missing: dict[int, str] = {}
    start = given = 0
    for count in rows:
        within = np.arange(rows_in_blocks(count))
        taken.append(start + np.minimum(within, count - 1))
        missing |= {
            index - start + given: reason for index, reason in ready.missing.items() if 0 <= index - start < count
        }
        start += count
        given += len(within)
    places = numeric_column(np.concatenate(taken))
    return ReadyColumns([column.take(places) for column in ready.columns], missing)
