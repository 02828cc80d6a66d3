"""Interpreters of image variants, whose libraries must be on this machine."""

import os
from collections.abc import Mapping
from pathlib import Path

from embedded.images.image import Image

PYTHONS_VARIABLE = "EMBEDDED_AWS_PYTHONS"
"""Variable with one interpreter per image variant:
`tensorflow=/path/to/python,pytorch=/path/to/python`.
"""
VARIANT_LABEL = "fleetscore.variant"
_OWN = ("", "core")
"""Variants whose libraries are in this environment."""


def read_pythons(variables: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the interpreters that the environment names, by variant.

    >>> read_pythons({"EMBEDDED_AWS_PYTHONS": "shell=/bin/sh"})
    {'shell': '/bin/sh'}

    Raises:
        ValueError: The variable is malformed, or names a program that does not exist.
    """
    pythons: dict[str, str] = {}
    for item in filter(None, variables.get(PYTHONS_VARIABLE, "").split(",")):
        variant, equals, path = item.strip().partition("=")
        if not variant or not equals or not os.access(path, os.X_OK) or Path(path).is_dir():
            raise ValueError(
                f"{PYTHONS_VARIABLE} has {item!r}, expected variant=path of an existing Python, such as "
                "pytorch=/home/me/.venv-frameworks/bin/python"
            )
        pythons[variant] = path
    return pythons


def python_for(image: Image, pythons: Mapping[str, str], own: str) -> str:
    """Return the interpreter that runs an image. Images without a variant run with `own`.

    Raises:
        ValueError: The image's variant has no interpreter.
    """
    variant = image.labels.get(VARIANT_LABEL, "")
    if variant in pythons:
        return pythons[variant]
    if variant in _OWN:
        return own
    raise ValueError(
        f"the image is the variant {variant!r}, expected one whose libraries are installed in a configured Python: "
        f"set {PYTHONS_VARIABLE}={variant}=/path/to/python and restart the embedded AWS (`make test-frameworks` "
        "creates a suitable Python in .venv-frameworks)"
    )
