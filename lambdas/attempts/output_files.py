"""The files of a job's output in S3, by object and model."""

import base64
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import get_args

from contract import layout, spot_layout
from contract.catalog.model_spec import ModelSpec
from contract.job.scoring_spec import JobSpec, PinnedObject
from lambdas.attempts.checksums import ChecksumCounts, ChecksumRules
from lambdas.errors import LISTED_FILES, MAX_COUNTED_FILES, UnexpectedFile
from lambdas.stage.buckets.object_store import ObjectStore
from lambdas.stage.buckets.stored_object import StoredObject
from lambdas.stage.parallel import in_parallel

_MISSING = -1
_CHECKSUM_BYTES = 8


@dataclass
class UnexpectedFiles:
    """Counts the files that no commit names and no other attempt can replace, and keeps the first."""

    first: list[UnexpectedFile] = field(default_factory=list)
    count: int = 0
    """Number of such files. The listings end soon after `MAX_COUNTED_FILES`."""

    def add(self, area: str, key: str, why: str = "") -> None:
        """Add a file with its folder, its key below the job's prefix, and the reason if the key does not show it."""
        self.count += 1
        if len(self.first) < LISTED_FILES:
            self.first.append(UnexpectedFile(f"{area}{key}", why))

    @property
    def too_many(self) -> bool:
        """Whether listings may end, because more files cannot change the result."""
        return self.count > MAX_COUNTED_FILES


class Pairs:
    """The pairs of an object and a model of a job, numbered from 0, object by object."""

    def __init__(
        self,
        models: Sequence[ModelSpec],
        objects: Sequence[PinnedObject],
        output_layout: layout.OutputLayout = "per_model",
    ) -> None:
        self.models, self.objects = models, objects
        self.output_layout = output_layout
        self._model_numbers = {model.model_id: number for number, model in enumerate(models)}
        self._object_numbers = {item.key: number for number, item in enumerate(objects)}
        formats = {model.output_format for model in models} | {layout.QUARANTINE_FORMAT}
        self._numbers_of_names: Mapping[str, Mapping[str, int]] = {
            output_format: {layout.output_name(item.key, output_format): number for number, item in enumerate(objects)}
            for output_format in formats
        }
        """Numbers of the objects by the names of their outputs, for each format."""

    def __len__(self) -> int:
        return len(self.models) * len(self.objects)

    def model(self, pair: int) -> ModelSpec:
        return self.models[pair % len(self.models)]

    def object(self, pair: int) -> PinnedObject:
        return self.objects[pair // len(self.models)]

    def find(self, model_id: str, object_key: str) -> int | None:
        """Return the number of a pair; None when the job does not have it."""
        return self._pair(self._model_numbers.get(model_id), self._object_numbers.get(object_key))

    def find_output(self, kind: layout.OutputKind, key: str) -> range:
        """Return the numbers of the pairs whose output has this key.

        They are those of all models when they share the output, and none when the key is not of an
        output.
        """
        if layout.is_shared_output(kind, self.output_layout):
            item = self._numbers_of_names[self.models[0].output_format].get(key)
            return range(0) if item is None else self.of_object(item)
        pair = self._find_own_output(kind, key)
        return range(0) if pair is None else range(pair, pair + 1)

    def of_object(self, number: int) -> range:
        """Return the numbers of an object's pairs."""
        return range(number * len(self.models), (number + 1) * len(self.models))

    def sharing_output(self, kind: layout.OutputKind, pair: int) -> range:
        """Return the numbers of the pairs that have the same output as this one."""
        if layout.is_shared_output(kind, self.output_layout):
            return self.of_object(pair // len(self.models))
        return range(pair, pair + 1)

    def _find_own_output(self, kind: layout.OutputKind, key: str) -> int | None:
        model_id, name = layout.split_output_key(key)
        number = self._model_numbers.get(model_id)
        if number is None:
            return None
        output_format = layout.QUARANTINE_FORMAT if kind == "quarantine" else self.models[number].output_format
        return self._pair(number, self._numbers_of_names[output_format].get(name))

    def output_key(self, kind: layout.OutputKind, pair: int) -> str:
        """Return the only key, below the job's prefix, that an output of the pair may have."""
        model = self.model(pair)
        output_format = layout.QUARANTINE_FORMAT if kind == "quarantine" else model.output_format
        name = layout.output_name(self.object(pair).key, output_format)
        is_shared = layout.is_shared_output(kind, self.output_layout)
        return name if is_shared else layout.output_key(model.model_id, name)

    def _pair(self, model: int | None, item: int | None) -> int | None:
        return None if model is None or item is None else item * len(self.models) + model


@dataclass(frozen=True)
class Place:
    """Where outputs and ledger of a job are in the results bucket."""

    spec: JobSpec
    checkpoints: str = ""
    """Prefix of the checkpoints of an attempt on spot capacity; empty for the job's own prefixes."""

    def outputs_prefix(self, kind: layout.OutputKind) -> str:
        """Return the prefix of the outputs of a kind."""
        spec = self.spec
        if self.checkpoints:
            folder = spot_layout.PREDICTIONS_FOLDER if kind == "predictions" else spot_layout.QUARANTINE_FOLDER
            return f"{self.checkpoints}{folder}/"
        return layout.job_outputs_prefix(kind, spec.dataset, spec.execution_id, spec.job_id, spec.output_layout)

    @property
    def ledger_prefix(self) -> str:
        if self.checkpoints:
            return f"{self.checkpoints}{spot_layout.LEDGER_FOLDER}/"
        return layout.ledger_prefix(self.spec.execution_id, self.spec.job_id)


def spot_places(spec: JobSpec, store: ObjectStore) -> dict[int, Place]:
    """Return where each attempt on spot capacity has written, by its number, the first attempt first."""
    return {
        attempt: Place(spec, spot_layout.spot_checkpoints_prefix(spec.execution_id, spec.job_id, attempt))
        for attempt in spot_attempts(spec.execution_id, spec.job_id, store)
    }


def spot_attempts(execution_id: str, job_id: str, store: ObjectStore) -> list[int]:
    """Return the numbers of the attempts on spot capacity that have written something."""
    entries = store.result_entries(spot_layout.spot_job_prefix(execution_id, job_id))
    return sorted(int(name) for entry in entries if (name := entry.removesuffix("/")).isdecimal())


class OutputFiles:
    """The sizes and checksums of a job's outputs in S3.

    Their names follow from the spec, so that a forged commit cannot make a file expected. Memory is
    limited by the number of pairs, however many files there are.
    """

    def __init__(
        self, place: Place, pairs: Pairs, store: ObjectStore, unexpected: UnexpectedFiles, rules: ChecksumRules
    ) -> None:
        self._pairs, self._rules = pairs, rules
        self._sizes: dict[layout.OutputKind, array[int]] = {}
        self._checksums: dict[layout.OutputKind, array[int]] = {}
        """CRC64NVME of each output that has one in S3."""
        self._has_checksum: dict[layout.OutputKind, bytearray] = {}
        self._counts = ChecksumCounts()
        for kind in get_args(layout.OutputKind):
            self._has_checksum[kind] = bytearray(len(pairs))
            self._checksums[kind] = array("Q", [0]) * len(pairs)
            self._sizes[kind] = self._list_sizes(kind, place, store, unexpected)
        # Not when the job fails anyway.
        if not unexpected.count:
            self._read_checksums(place, store)

    def size(self, kind: layout.OutputKind, pair: int) -> int | None:
        """Return the size of an output in bytes; None when it is not in S3."""
        size = self._sizes[kind][pair]
        return None if size == _MISSING else size

    def checksum(self, kind: layout.OutputKind, pair: int) -> str:
        """Return the CRC64NVME that S3 computed of an output, in Base64; empty when it is not known."""
        if not self._has_checksum[kind][pair]:
            return ""
        return base64.b64encode(self._checksums[kind][pair].to_bytes(_CHECKSUM_BYTES, "big")).decode()

    def notes(self) -> list[str]:
        """Return notes about outputs whose checksums are not known."""
        return self._counts.notes(self._rules)

    def _list_sizes(
        self, kind: layout.OutputKind, place: Place, store: ObjectStore, unexpected: UnexpectedFiles
    ) -> "array[int]":
        sizes = array("q", [_MISSING]) * len(self._pairs)
        for found in store.results_below(place.outputs_prefix(kind)):
            owners = self._pairs.find_output(kind, found.key)
            for pair in owners:
                sizes[pair] = found.size
            if not owners and not _is_harmless(kind, found, self._pairs):
                unexpected.add(layout.output_area(kind, self._pairs.output_layout), found.key)
                if unexpected.too_many:
                    break
        return sizes

    def _read_checksums(self, place: Place, store: ObjectStore) -> None:
        """Ask S3 for the checksums of outputs, once for an output that several models share."""
        kinds = get_args(layout.OutputKind)
        found = array(
            "q", (pair * len(kinds) + number for number, kind in enumerate(kinds) for pair in self._first_pairs(kind))
        )
        self._counts.outputs = len(found)

        def ask(number: int) -> tuple[layout.OutputKind, int, str | None]:
            pair, kind_number = divmod(found[number], len(kinds))
            kind = kinds[kind_number]
            return kind, pair, store.result_checksum(place.outputs_prefix(kind) + self._pairs.output_key(kind, pair))

        for kind, pair, checksum in in_parallel(ask, self._rules.choose(len(found), len(self._pairs))):
            owners = self._pairs.sharing_output(kind, pair)
            if checksum:
                self._counts.compared += 1
                value = int.from_bytes(base64.b64decode(checksum), "big")
                for owner in owners:
                    self._checksums[kind][owner], self._has_checksum[kind][owner] = value, True
            elif checksum is None:
                # It was deleted since the listing.
                self._counts.compared += 1
                for owner in owners:
                    self._sizes[kind][owner] = _MISSING
            else:
                self._counts.without += 1

    def _first_pairs(self, kind: layout.OutputKind) -> Iterator[int]:
        """Yield one pair of each output in S3."""
        return (
            pair
            for pair, size in enumerate(self._sizes[kind])
            if size != _MISSING and pair == self._pairs.sharing_output(kind, pair).start
        )


def is_placeholder(found: StoredObject) -> bool:
    """Return whether a file marks a folder, as no container can write it."""
    return found.size == 0 and (not found.key or found.key.endswith("/"))


def _is_harmless(kind: layout.OutputKind, found: StoredObject, pairs: Pairs) -> bool:
    """Return whether a file is a folder placeholder, or an incomplete copy that a killed attempt left."""
    finished = layout.finished_key(found.key)
    return is_placeholder(found) or (finished is not None and bool(pairs.find_output(kind, finished)))
