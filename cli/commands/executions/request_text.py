"""Read the text of a request from the command line."""

import json
from pathlib import Path
from typing import Any

from cli.failures import CommandError
from contract.json_text import JsonError, parse_json


def read_request(text: str) -> str:
    """Return the request's JSON text, from the command line or from `@file`.

    Raises:
        CommandError: when the file cannot be read.
    """
    if not text.startswith("@"):
        return text
    path = Path(text[1:]).expanduser()
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise CommandError(f"--input: {path} cannot be read ({error.strerror}).") from error
    except UnicodeDecodeError as error:
        raise CommandError(f"--input: {path} is not UTF-8 text ({error}).") from error


_OPTION_OF_FIELD = {"train_unchanged": "--force"}
"""Options that are not named like their field."""


def with_names(request_json: str, **names: list[str] | bool | None) -> str:
    """Return the request's JSON text with the ids of options such as `models` in it. Invalid text stays as it is.

    Raises:
        CommandError: when the request has such a field too.
    """
    given = {field: ids for field, ids in names.items() if ids is not None}
    try:
        request: Any = parse_json(request_json, keep_surrogates=True) if given else None
    except JsonError:
        return request_json
    if not isinstance(request, dict):
        return request_json
    for field in given:
        if field in request:
            option = _OPTION_OF_FIELD.get(field, f"--{field}")
            raise CommandError(f"Name the {field} once: with {option} or in --input.")
    return json.dumps({**request, **given})
