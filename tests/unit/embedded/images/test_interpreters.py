"""Interpreters of image variants."""

import sys
from pathlib import Path

import pytest

from embedded.images.image import Image
from embedded.images.interpreters import PYTHONS_VARIABLE, VARIANT_LABEL, python_for, read_pythons

OWN = "/own/python"


def image(**labels: str) -> Image:
    return Image("uri", Path("/"), ("python",), (), {}, "/", labels)


def test_a_variant_runs_with_its_python() -> None:
    pythons = read_pythons({PYTHONS_VARIABLE: f"pytorch={sys.executable}, tensorflow={sys.executable}"})
    assert python_for(image(**{VARIANT_LABEL: "pytorch"}), pythons, OWN) == sys.executable
    assert set(pythons) == {"pytorch", "tensorflow"}


@pytest.mark.parametrize("labels", [{}, {VARIANT_LABEL: "core"}, {"other": "label"}])
def test_other_images_run_with_this_python(labels: dict[str, str]) -> None:
    assert python_for(image(**labels), read_pythons({}), OWN) == OWN


def test_a_variant_without_a_python_is_refused_with_the_remedy() -> None:
    with pytest.raises(ValueError, match=f"variant 'pytorch'.*{PYTHONS_VARIABLE}=pytorch=.*make test-frameworks"):
        python_for(image(**{VARIANT_LABEL: "pytorch"}), {"tensorflow": sys.executable}, OWN)


@pytest.mark.parametrize("text", ["pytorch", "=/bin/sh", "pytorch=/nowhere/python", "pytorch=/tmp"])
def test_a_malformed_variable_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected variant=path of an existing Python"):
        read_pythons({PYTHONS_VARIABLE: text})
