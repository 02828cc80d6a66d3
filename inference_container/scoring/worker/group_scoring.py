"""Scores a group of small objects: reads them, predicts them together, and writes each."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from contract.job.job_input import JobInput
from contract.job.scoring_spec import PinnedObject
from scoring.columns.row_blocks import rows_in_blocks
from scoring.protocol import ObjectWritten
from scoring.readers import InputObject, open_object
from scoring.splice import SharedPartFiles, SpliceSource
from scoring.worker.group_predictions import GroupPredictor, Result
from scoring.worker.object_predictor import ThreadSafeModel
from scoring.worker.object_scoring import ObjectScoring, SmallObject

ScoreAlone = Callable[[int], ObjectWritten]
"""Scores the object at a place of the group alone. It explains what failed."""
Describe = Callable[[int, int, ObjectScoring], ObjectWritten]
"""Describes the object at a place, with the rows read."""
OpenScoring = Callable[[int, InputObject, SpliceSource], ObjectScoring]
"""Returns what scores the open object at a place."""


_MAX_WAITING_PREDICTIONS = 1 << 20
"""Most predictions, of all models together, that wait in memory to be completed: about 8 MB."""


@dataclass
class _Member:
    """An object that is open, with its only batch."""

    place: int
    small: SmallObject
    stack: ExitStack


class GroupScoring:
    """Scores the objects of one group.

    An object that is not small, or with which anything fails, is scored alone, as if there were no
    group.
    """

    def __init__(
        self,
        data: Path,
        models: Sequence[ThreadSafeModel],
        wanted: JobInput,
        *,
        open_scoring: OpenScoring,
        batch_rows: int,
        score_alone: ScoreAlone,
        describe: Describe,
    ) -> None:
        """`data` is the folder of the objects."""
        self._data = data
        self._models = models
        self._wanted = wanted
        self._open_scoring = open_scoring
        self._batch_rows = batch_rows
        self._score_alone = score_alone
        self._describe = describe
        self._members: list[_Member] = []
        """Objects that wait to be predicted."""
        self._written: dict[int, ObjectWritten] = {}

    def score(self, objects: Sequence[PinnedObject]) -> list[ObjectWritten]:
        """Write the objects for the models that can score them, in the order of `objects`."""
        try:
            for place, pinned in enumerate(objects):
                self._add(place, pinned)
            self._flush()
        finally:
            self._close()
        return [self._written[place] for place in range(len(objects))]

    def _add(self, place: int, pinned: PinnedObject) -> None:
        """Read an object, and predict those before it if the batch of all would be too large."""
        stack = ExitStack()
        try:
            path = self._data / pinned.key
            file = stack.enter_context(SpliceSource(path, in_memory=True))
            source = stack.enter_context(open_object(pinned.key, path, self._wanted, content=lambda: file.content))
            scoring = self._open_scoring(place, source, file)
            small = scoring.read_small(self._models, self._batch_rows)
        # Scored alone, where the same failure is explained.
        except Exception:
            small = None
        if small is None:
            stack.close()
            self._written[place] = self._score_alone(place)
            return
        limit = min([small.batch_rows, *(member.small.batch_rows for member in self._members)])
        if sum(_rows(member.small) for member in self._members) + _rows(small) > limit:
            self._flush()
        self._members.append(_Member(place, small, stack))

    def _flush(self) -> None:
        """Predict and write the waiting objects."""
        members = self._members
        if not members:
            return
        group = GroupPredictor([member.small.item for member in members])
        results: list[dict[ThreadSafeModel, Result]] = [{} for _ in members]
        predictors = [member.small.predictors for member in members]
        for model in self._models:
            own = {index: found[model] for index, found in enumerate(predictors) if model in found}
            if own:
                for index, result in group.predict(own).items():
                    results[index][model] = result
        shared = SharedPartFiles()
        waiting: list[tuple[_Member, Callable[[], int]]] = []
        size = 0
        for member, found in zip(members, results, strict=True):
            try:
                complete = member.small.scoring.write_small(member.small, found, shared, member.stack)
            except Exception:
                self._write_alone(member)
                continue
            waiting.append((member, complete))
            size += _rows(member.small) * len(found)
            if not member.small.copies_input or size > _MAX_WAITING_PREDICTIONS:
                self._complete(waiting)
                waiting, shared, size = [], SharedPartFiles(), 0
        self._complete(waiting)
        self._close()

    def _complete(self, waiting: Sequence[tuple[_Member, Callable[[], int]]]) -> None:
        """Complete the outputs of objects that are written."""
        for member, complete in waiting:
            try:
                rows = complete()
                self._written[member.place] = self._describe(member.place, rows, member.small.scoring)
            except Exception:
                self._write_alone(member)
            member.stack.close()

    def _write_alone(self, member: _Member) -> None:
        member.stack.close()
        self._written[member.place] = self._score_alone(member.place)

    def _close(self) -> None:
        for member in self._members:
            member.stack.close()
        self._members = []


def _rows(small: SmallObject) -> int:
    return rows_in_blocks(small.item.batch.num_rows)
