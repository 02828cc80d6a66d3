"""Reads what SageMaker says about the instances of the attempt."""

import json
from pathlib import Path
from typing import Any


def count_hosts(path: Path) -> int:
    """Return the number of instances of the attempt; 1 if the file does not say."""
    hosts = _read(path).get("hosts")
    return max(1, len(hosts)) if isinstance(hosts, list) else 1


def current_host(path: Path) -> str:
    """Return the name of this instance, such as `algo-1`; empty if the file does not say."""
    host = _read(path).get("current_host")
    return host if isinstance(host, str) else ""


def _read(path: Path) -> dict[str, Any]:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return config if isinstance(config, dict) else {}
