"""Imports an artifact's `code/inference.py` after checking its requirements."""

import importlib.util
import itertools
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

from contract.catalog.model_spec import ModelSpec
from scoring.errors import ModelError, ScoringError, one_line

_FUNCTIONS = ("model_fn", "input_fn", "predict_fn", "output_fn")
_numbers = itertools.count(1)
_owners: dict[str, tuple[str, Path]] = {}
"""Model and folder of each module next to an inference.py, by the module's name.

All models of a job share the interpreter.
"""


@dataclass(frozen=True)
class CustomModule:
    """The functions of an artifact's code; None for those that it does not define."""

    model_fn: Callable[..., Any] | None
    input_fn: Callable[..., Any] | None
    predict_fn: Callable[..., Any] | None
    output_fn: Callable[..., Any] | None

    @property
    def found(self) -> tuple[str, ...]:
        return tuple(name for name in _FUNCTIONS if getattr(self, name) is not None)


def import_custom_module(spec: ModelSpec, root: Path) -> CustomModule:
    """Import the module of an unpacked artifact.

    Raises:
        ModelError: It needs packages that the image lacks, fails, or defines none of the functions.
    """
    folder = root / "code"
    _check_requirements(spec, folder / "requirements.txt")
    _claim_names(spec, folder)
    # As in SageMaker, modules next to inference.py can be imported and hide packages of the same
    # name.
    sys.path.insert(0, str(folder))
    module = _run(spec, folder / "inference.py")
    found = {name: getattr(module, name, None) for name in _FUNCTIONS}
    if hasattr(module, "transform_fn"):
        raise ModelError(
            f"model {spec.model_id!r}: its code/inference.py has transform_fn, which is not supported: write it as "
            "input_fn, predict_fn and output_fn"
        )
    wrong = [name for name, value in found.items() if value is not None and not callable(value)]
    if wrong or all(value is None for value in found.values()):
        what = f"{wrong}, which cannot be called" if wrong else f"none of {', '.join(_FUNCTIONS)}"
        raise ModelError(
            f"model {spec.model_id!r}: its code/inference.py has {what}: write at least one of them as a function, or "
            "set custom_code to false in the record"
        )
    return CustomModule(**found)


def _run(spec: ModelSpec, file: Path) -> ModuleType:
    # A unique name, because each model of a job may have an "inference".
    name = f"fleetscore_custom_code_{next(_numbers)}"
    described = importlib.util.spec_from_file_location(name, file)
    assert described is not None and described.loader is not None  # noqa: S101, PT018 - a .py file always has one
    module = importlib.util.module_from_spec(described)
    sys.modules[name] = module
    try:
        described.loader.exec_module(module)
    except ScoringError:
        raise
    # BaseException: the code may even call sys.exit.
    except BaseException as error:
        raise ModelError(
            f"model {spec.model_id!r}: its code/inference.py cannot be imported ({one_line(error)}): it can "
            "use the packages of the image and the modules in code/, but no network"
        ) from error
    return module


def _claim_names(spec: ModelSpec, folder: Path) -> None:
    """Refuse two models whose code has modules of the same name.

    The second one would silently import the first one's.
    """
    names = {path.stem for path in folder.glob("*.py")} | {path.parent.name for path in folder.glob("*/__init__.py")}
    names -= {"inference", "code"}
    for name in sorted(names):
        owner, place = _owners.setdefault(name, (spec.model_id, folder))
        if place != folder:
            raise ModelError(
                f"model {spec.model_id!r}: its code/ has a module {name!r}, and so has model {owner!r} of the same "
                "job: rename one of them, or score these models in separate jobs (models_per_job 1)"
            )


def _check_requirements(spec: ModelSpec, file: Path) -> None:
    """Check that the image has all required packages. A job has no network to install any."""
    if not file.is_file():
        return
    from packaging.requirements import InvalidRequirement, Requirement  # noqa: PLC0415 - few artifacts have the file

    missing: list[str] = []
    for line in file.read_text(encoding="utf-8").splitlines():
        text = re.sub(r"(^|\s)#.*", "", line).strip()
        if not text:
            continue
        try:
            wanted = Requirement(text)
            if wanted.marker is not None and not wanted.marker.evaluate():
                continue
            found = metadata.version(wanted.name)
            if not wanted.specifier.contains(found, prereleases=True):
                missing.append(f"{text} (the image has {found})")
        except InvalidRequirement:
            missing.append(f"{text} (it is not a package name)")
        except metadata.PackageNotFoundError:
            missing.append(f"{text} (the image has none)")
    if missing:
        raise ModelError(
            f"model {spec.model_id!r}: its code/requirements.txt requires {', '.join(missing)}, and a job has no "
            "network to install it: add it to your own image, vendor it in code/, or drop the line if it is not needed"
        )
