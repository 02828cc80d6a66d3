"""The members of a fleet, loaded when a row needs them and kept while memory allows."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

from scoring.called_models import calling
from scoring.columns.features import FeatureBatch
from scoring.errors import ModelError, error_of_kind, with_cause
from scoring.models import LoadedModel


class Member:
    """A model of a fleet, which can be loaded."""

    def __init__(
        self, model_id: str, version: str, load: Callable[[], tuple[LoadedModel, int]], *, is_extracted: bool = True
    ) -> None:
        """`load` returns the model, and an estimate of the memory that it takes, in bytes.

        `is_extracted` says whether its artifact is, because the shard needs it.
        """
        self.model_id = model_id
        self.version = version
        self.load = load
        self.is_extracted = is_extracted
        self.failure: ModelError | None = None
        """Why it cannot be loaded."""
        self.loading = threading.Lock()
        self.call_lock = threading.Lock()
        """Held during a call of a model that allows one call at a time."""

    def predict(self, loaded: LoadedModel, batch: FeatureBatch) -> Any:
        with nullcontext() if loaded.concurrent else self.call_lock, calling(self.model_id):
            return loaded.predict(batch)


class MemberCache:
    """Keeps the members that were used last, within a budget of memory. Thread-safe."""

    def __init__(self, budget: int, check: Callable[[Member, LoadedModel], None]) -> None:
        """`budget` limits the memory of the loaded members, in bytes.

        `check` raises ModelError for a member that does not suit the fleet.
        """
        self._budget = budget
        self._check = check
        self._lock = threading.Lock()
        self._loaded: OrderedDict[Member, tuple[LoadedModel, int]] = OrderedDict()
        self._bytes = 0
        self.loads = 0
        """Number of models loaded so far."""

    def __contains__(self, member: Member) -> bool:
        return member in self._loaded

    def get(self, member: Member) -> LoadedModel:
        """Return the loaded member. Raises ScoringError if it cannot be loaded."""
        found = self._find(member)
        if found is not None:
            return found
        with member.loading:
            found = self._find(member)
            if found is None:
                found, size = self._load(member)
                self._add(member, found, size)
        return found

    def _find(self, member: Member) -> LoadedModel | None:
        with self._lock:
            found = self._loaded.get(member)
            if found is None:
                return None
            self._loaded.move_to_end(member)
            return found[0]

    def _load(self, member: Member) -> tuple[LoadedModel, int]:
        if member.failure is not None:
            raise with_cause(error_of_kind(member.failure.kind, member.failure.text), member.failure)
        try:
            with calling(member.model_id):
                loaded, size = member.load()
            self._check(member, loaded)
        except ModelError as error:
            member.failure = error
            raise
        self.loads += 1
        return loaded, size

    def _add(self, member: Member, loaded: LoadedModel, size: int) -> None:
        with self._lock:
            self._loaded[member] = loaded, size
            self._bytes += size
            # The last one is in use, whatever it takes.
            while self._bytes > self._budget and len(self._loaded) > 1:
                _, (_, freed) = self._loaded.popitem(last=False)
                self._bytes -= freed
