"""Estimates of how long things take: from samples of past executions, else from documented defaults."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

MAX_SAMPLES = 20
"""Samples that an estimate is made of: the newest ones."""

SampleKind = Literal["startup", "download", "upload", "rows", "bytes-per-row", "load"]
"""What was measured.

- `startup`: seconds from the creation of a SageMaker job until its instances run, by instance type.
- `download`, `upload`: bytes per second of an instance, by instance type.
- `rows`: rows per second of one worker, which has one vCPU, by model or format, and instance type.
- `bytes-per-row`: bytes of the objects per row, by dataset.
- `load`: seconds until one model is loaded, by format and size.
"""

_ENOUGH = 5
"""Samples from which on their percentiles are taken as they are."""
_PREDICTION = 4.5
"""Widens a band of n samples by a power of 1 + 4.5/n: about Student's distribution, for 5 to 20 samples."""


@dataclass(frozen=True)
class Estimate:
    """A number that is not known exactly. The unit is that of the place that has it."""

    value: float
    """Median of the samples."""
    low: float
    """10th percentile."""
    high: float
    """90th percentile."""
    count: int = 0
    """Number of samples; 0 for a documented default, and for what was computed from one."""

    def widened(self, factor: float) -> "Estimate":
        """Return the estimate with a band that is wider by a factor of at least 1 on both sides.

        >>> Estimate(10, 8, 12, 5).widened(2)
        Estimate(value=10, low=4.0, high=24, count=5)
        """
        return replace(self, low=self.low / factor, high=self.high * factor)

    def predicted(self) -> "Estimate":
        """Return the estimate with the band of the next value, which is wider than that of a few samples.

        Bands of fewer than five samples are wide already. Samples that are all alike have no band.

        >>> found = Estimate(240, 200, 288, 5).predicted()
        >>> round(found.low), round(found.high)
        (170, 339)
        """
        if self.count < _ENOUGH or self.low <= 0:
            return self
        power = 1 + _PREDICTION / self.count
        low, high = (self.value * (bound / self.value) ** power for bound in (self.low, self.high))
        return replace(self, low=low, high=high)

    def slowest_of(self, number: int) -> "Estimate":
        """Return the largest of as many independent values, as if their logarithms were normal.

        >>> [round(Estimate(240, 200, 288).slowest_of(number).value) for number in (1, 2, 10)]
        [240, 259, 297]
        """
        if number == 1 or self.low <= 0:
            return self

        # Few processes need it, and it imports ten modules.
        from statistics import NormalDist  # noqa: PLC0415

        normal = NormalDist()

        def quantile(share: float) -> float:
            place = normal.inv_cdf(share ** (1 / number)) / normal.inv_cdf(0.9)
            ratio = self.high / self.value if place > 0 else self.value / self.low
            return float(self.value * ratio**place)

        return replace(self, value=quantile(0.5), low=quantile(0.1), high=quantile(0.9))


def summarize(samples: Sequence[float]) -> Estimate:
    """Return the median of at least one sample with its band.

    Few samples say little about the spread. So up to four of them get a wider band: one sample gets
    a factor of 2.

    >>> summarize([3.0, 1.0, 2.0, 5.0, 4.0])
    Estimate(value=3.0, low=1.4, high=4.6, count=5)
    """
    ordered = sorted(samples[:MAX_SAMPLES])
    found = Estimate(_quantile(ordered, 0.5), _quantile(ordered, 0.1), _quantile(ordered, 0.9), len(ordered))
    return found if len(ordered) >= _ENOUGH else found.widened(1 + 1 / len(ordered) ** 2)


def _quantile(ordered: Sequence[float], share: float) -> float:
    place = share * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


# Default values, for what nothing has measured yet. docs/why/planner.md has the reasons.
DEFAULT_STARTUP_SECONDS = Estimate(240.0, 180.0, 300.0)
DEFAULT_BYTES_PER_SECOND = Estimate(50e6, 20e6, 150e6)
DEFAULT_BYTES_PER_ROW = Estimate(100.0, 25.0, 400.0)
DEFAULT_ROWS_PER_SECOND: Mapping[str, float] = {
    "sklearn-joblib": 100_000.0,
    "sklearn-skops": 100_000.0,
    "xgboost-json": 50_000.0,
    "xgboost-ubj": 50_000.0,
    "xgboost-sklearn-json": 50_000.0,
    "xgboost-sklearn-ubj": 50_000.0,
    "lightgbm-text": 50_000.0,
    "catboost-cbm": 50_000.0,
    "onnx": 50_000.0,
}
"""Rows per second of one worker with a model of up to 1 MB, by format."""
OTHER_ROWS_PER_SECOND = 5_000.0
"""The same for other formats: neural networks, and code of the user."""
_DEFAULT_SPREAD = 4.0
_DEFAULT_LOAD_SECONDS = 0.05
_DEFAULT_LOAD_BYTES_PER_SECOND = 20e6
_SMALL_ARTIFACT = 1e6
OTHER_TYPE_SPREAD = 1.5
"""Factor by which the band widens if the rate was measured on another instance type."""
OTHER_MODEL_SPREAD = 2.0
"""Factor by which the band widens if the rate was measured on other models of the format and size."""


def size_class(artifact_bytes: int) -> str:
    """Return the class of models whose sizes differ by a factor of up to ten.

    >>> size_class(7_000), size_class(2_500_000), size_class(0)
    ('10KB', '10MB', '1KB')
    """
    power = max(3, math.ceil(math.log10(max(1, artifact_bytes))))
    units, rest = divmod(power, 3)
    return f"{10**rest}{('', 'K', 'M', 'G', 'T', 'P')[min(units, 5)]}B"


def model_key(model_id: str, instance_type: str) -> str:
    """Return the key of a model's samples of `rows`."""
    return f"model/{model_id}/{instance_type}"


def format_class(format_name: str, artifact_bytes: int) -> str:
    """Return the name of all models with one format and about one size: the key of the samples of `load`.

    >>> format_class("onnx", 3_000_000)
    'onnx/10MB'
    """
    return f"{format_name}/{size_class(artifact_bytes)}"


def format_key(format_name: str, artifact_bytes: int, instance_type: str) -> str:
    """Return the key of the samples of `rows` of all models with one format and about one size."""
    return class_key(format_class(format_name, artifact_bytes), instance_type)


def class_key(name: str, instance_type: str) -> str:
    """Return the same key for the name of such models: see `format_class`."""
    return f"format/{name}/{instance_type}"


@dataclass(frozen=True)
class Samples:
    """What past executions measured: per kind and key the newest samples, newest first.

    The key of `startup`, `download` and `upload` is the instance type, that of `bytes-per-row` the
    dataset. `model_key`, `format_key` and `format_class` make the others.
    """

    by_kind: Mapping[SampleKind, Mapping[str, Sequence[float]]] = field(default_factory=dict)

    def of(self, kind: SampleKind, key: str) -> Sequence[float]:
        """Return the samples, none if nothing was measured."""
        return self.by_kind.get(kind, {}).get(key, ())


class Estimates:
    """Looks up estimates, with fall-backs from the most to the least specific samples.

    Results are kept, so that the models of a fleet share them.
    """

    def __init__(self, samples: Samples | None = None) -> None:
        self._samples = samples or Samples()
        self._known: dict[tuple[str, ...], Estimate] = {}
        self._other_types: dict[str, list[float]] | None = None

    def startup_seconds(self, instance_type: str) -> Estimate:
        """Return the seconds from the creation of a SageMaker job until its instances run."""
        return self._by_type("startup", instance_type, DEFAULT_STARTUP_SECONDS)

    def transfer_bytes_per_second(self, instance_type: str) -> Estimate:
        """Return the rate at which an instance downloads objects and artifacts."""
        return self._by_type("download", instance_type, DEFAULT_BYTES_PER_SECOND)

    def upload_bytes_per_second(self, instance_type: str) -> Estimate:
        """Return the rate at which an instance uploads outputs."""
        return self._by_type("upload", instance_type, DEFAULT_BYTES_PER_SECOND)

    def bytes_per_row(self, dataset: str) -> Estimate:
        """Return the bytes of a dataset's objects per row. A `count` of 0 means that they are unknown."""
        samples = self._samples.of("bytes-per-row", dataset)
        return summarize(samples) if samples else DEFAULT_BYTES_PER_ROW

    def load_seconds(self, format_name: str, artifact_bytes: int) -> Estimate:
        """Return the seconds until a worker has loaded a model."""
        key = format_class(format_name, artifact_bytes)
        found = self._known.get(("load", key))
        if found is None:
            samples = self._samples.of("load", key)
            if not samples:
                value = _DEFAULT_LOAD_SECONDS + artifact_bytes / _DEFAULT_LOAD_BYTES_PER_SECOND
                return Estimate(value, value / 3, value * 3)
            found = self._known[("load", key)] = summarize(samples)
        return found

    def rows_per_second(self, model_id: str, format_name: str, artifact_bytes: int, instance_type: str) -> Estimate:
        """Return the rate at which one worker, which has one vCPU, scores rows with a model.

        The samples are, whichever exist first, those of the model on this instance type, of the
        model on other types, of models with the same format and about the same size on this type,
        of such models on other types. Each step widens the band.
        """
        own = self._samples.of("rows", model_key(model_id, instance_type))
        if own:
            return summarize(own)
        if others := self._on_other_types(model_key(model_id, "")):
            return summarize(others).widened(OTHER_TYPE_SPREAD)
        size = size_class(artifact_bytes)
        found = self._known.get((format_name, size, instance_type))
        if found is None:
            found = self._rate_of_format(format_name, artifact_bytes, instance_type)
            self._known[(format_name, size, instance_type)] = found
        return found

    def has_measured(self, model_id: str) -> bool:
        """Return whether a model's own speed has been measured, on any instance type."""
        return bool(self._on_other_types(model_key(model_id, "")))

    def _rate_of_format(self, format_name: str, artifact_bytes: int, instance_type: str) -> Estimate:
        alike = self._samples.of("rows", format_key(format_name, artifact_bytes, instance_type))
        if alike:
            return summarize(alike).widened(OTHER_MODEL_SPREAD)
        if alike := self._on_other_types(format_key(format_name, artifact_bytes, "")):
            return summarize(alike).widened(OTHER_MODEL_SPREAD * OTHER_TYPE_SPREAD)
        # All sizes of a class get one value, so that the order of the models makes no difference.
        upper = 10.0 ** max(3, math.ceil(math.log10(max(1, artifact_bytes))))
        base = DEFAULT_ROWS_PER_SECOND.get(format_name, OTHER_ROWS_PER_SECOND)
        value = base / math.sqrt(max(1.0, upper / _SMALL_ARTIFACT))
        return Estimate(value, value / _DEFAULT_SPREAD, value * _DEFAULT_SPREAD)

    def _by_type(self, kind: SampleKind, instance_type: str, default: Estimate) -> Estimate:
        found = self._known.get((kind, instance_type))
        if found is None:
            samples = self._samples.of(kind, instance_type)
            others = [value for values in self._samples.by_kind.get(kind, {}).values() for value in values[:3]]
            if samples:
                found = summarize(samples)
                # Each attempt has a start-up of its own.
                found = found.predicted() if kind == "startup" else found
            elif others:
                found = summarize(sorted(others)).widened(OTHER_TYPE_SPREAD)
            else:
                found = default
            self._known[(kind, instance_type)] = found
        return found

    def _on_other_types(self, prefix: str) -> list[float]:
        """Return the samples of `rows` whose keys have this prefix before the instance type."""
        if self._other_types is None:
            self._other_types = {}
            for key, values in sorted(self._samples.by_kind.get("rows", {}).items()):
                self._other_types.setdefault(key.rpartition("/")[0] + "/", []).extend(values)
        return self._other_types.get(prefix, [])
