"""The settings file of the current folder, as far as commands compare it with a deployed stage."""

from pathlib import Path
from typing import Any

from contract.json_text import JsonError, parse_json

SETTINGS_FILE = "cdk.json"


def schedules_to_deploy(folder: Path) -> list[str]:
    """Return the names of the schedules that `cdk.json` in a folder declares; empty without such a file.

    A malformed file declares none here: the deployment reports its problems.
    """
    try:
        found: Any = parse_json((folder / SETTINGS_FILE).read_bytes())
    except (OSError, JsonError):
        return []
    for name in ("context", "fleetscore", "schedules"):
        found = found.get(name) if isinstance(found, dict) else None
    items = found if isinstance(found, list) else []
    return [item["name"] for item in items if isinstance(item, dict) and isinstance(item.get("name"), str)]
