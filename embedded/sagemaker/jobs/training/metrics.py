"""Metrics that the service extracts from a training job's output."""

from __future__ import annotations

import contextlib
import math
import re
import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any


def metric_problems(at: str, definitions: Sequence[dict[str, str]]) -> list[str]:
    """Return one message per MetricDefinition without a valid regular expression and group."""
    problems = []
    for index, definition in enumerate(definitions):
        regex = definition["Regex"]
        try:
            has_group = re.compile(regex).groups > 0
        except re.error as error:
            problems.append(f"{at}[{index}].Regex {regex!r} is not a regular expression: {error}")
            continue
        if not has_group:
            problems.append(f"{at}[{index}].Regex {regex!r} must have a group that matches the metric's value")
    return problems


class Metrics:
    """The last value of each metric and the time at which it was printed. Thread-safe."""

    def __init__(self, definitions: Sequence[dict[str, str]]) -> None:
        self._definitions = [(definition["Name"], re.compile(definition["Regex"])) for definition in definitions]
        self._values: dict[str, tuple[float, datetime]] = {}
        self._lock = threading.Lock()

    def line(self, text: str) -> None:
        """Extract values from a line of output."""
        for name, regex in self._definitions:
            if found := regex.search(text):
                value = _number(found.group(1))
                if value is not None:
                    with self._lock:
                        self._values[name] = value, datetime.now(UTC)

    def values(self) -> dict[str, tuple[float, datetime]]:
        with self._lock:
            return dict(self._values)

    def restore(self, values: dict[str, tuple[float, datetime]]) -> None:
        with self._lock:
            self._values = values

    def final(self, timestamp: Callable[[datetime], float]) -> list[dict[str, Any]]:
        """Return FinalMetricDataList."""
        return [
            {"MetricName": name, "Value": value, "Timestamp": timestamp(moment)}
            for name, (value, moment) in self.values().items()
        ]


def _number(text: str | None) -> float | None:
    """Parse the text of a metric's group. None means that it is not a finite number."""
    with contextlib.suppress(ValueError, TypeError):
        value = float(text or "")
        return value if math.isfinite(value) else None
    return None
