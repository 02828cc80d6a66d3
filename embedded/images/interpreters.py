"""Which Python stands for what an image installs: RUN is not executed here, so libraries must be on this machine."""

import os
from collections.abc import Mapping
from pathlib import Path

from embedded.images.image import Image

PYTHONS_VARIABLE = "EMBEDDED_AWS_PYTHONS"
"""`tensorflow=/path/to/python,pytorch=/path/to/python`: one interpreter an image variant."""
VARIANT_LABEL = "fleetscore.variant"
_OWN = ("", "core")
"""What the libraries of this environment stand for."""


def read_pythons(variables: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The interpreters that the environment names, one a variant.

    Raises:
        ValueError: when the variable is not of that form, or names no program.
    """
    pythons: dict[str, str] = {}
    for item in filter(None, variables.get(PYTHONS_VARIABLE, "").split(",")):
        variant, equals, path = item.strip().partition("=")
        if not variant or not equals or not os.access(path, os.X_OK) or Path(path).is_dir():
            raise ValueError(
                f"{PYTHONS_VARIABLE} has {item!r}, expected variant=path of a Python that is there, such as "
                "pytorch=/home/me/.venv-frameworks/bin/python"
            )
        pythons[variant] = path
    return pythons


def python_for(image: Image, pythons: Mapping[str, str], own: str) -> str:
    """The interpreter that runs an image; `own` is this environment's.

    Raises:
        ValueError: when none has been named for the image's variant.
    """
    variant = image.labels.get(VARIANT_LABEL, "")
    if variant in pythons:
        return pythons[variant]
    if variant in _OWN:
        return own
    raise ValueError(
        f"the image is the variant {variant!r}, and the embedded AWS installs no libraries: name a Python that has "
        f"them in {PYTHONS_VARIABLE}={variant}=/path/to/python and start it again (`make test-frameworks` makes "
        ".venv-frameworks with all of them)"
    )
