"""Explains why a pickle cannot be loaded: it names a class or module that is not in the image."""

import re
from importlib.util import find_spec

from scoring.errors import one_line

_ATTRIBUTE = re.compile(
    r"Can't get attribute '(?P<name>[^']{1,200})' (on|from) (<module '(?P<module>[^']{1,200})'|(?P<bare>[\w.]{1,200}))"
    r"|module '(?P<of>[^']{1,200})' has no attribute '(?P<missing>[^']{1,200})'"
)
_SCRIPTS = frozenset({"__main__", "__mp_main__"})
"""Names of the module that a process was started with."""
_OTHER_FORMATS = {
    "catboost": "catboost-cbm",
    "keras": "keras",
    "tensorflow": "tensorflow-savedmodel",
    "torch": "pytorch-export",
}
"""Formats for models of libraries that the core image lacks, by the library's module."""

_SHIP = "ship the module in the artifact's code/ and set custom_code (docs/learn/custom-code.md)"


def explain_missing_class(error: BaseException) -> str:
    """Return which class or module a pickle needs and what to do; empty for any other error.

    A module that an installed package lacks is another error: the package has another version.
    """
    if isinstance(error, ModuleNotFoundError) and error.name:
        return _explain_missing_module(error.name)
    if not isinstance(error, (AttributeError, ImportError)):
        return ""
    found = _ATTRIBUTE.search(one_line(error))
    if found is None:
        return ""
    name = found["name"] or found["missing"]
    module = found["module"] or found["bare"] or found["of"]
    if module.rpartition(".")[2] in _SCRIPTS:
        return (
            f"it needs {name!r} of __main__, the script that pickled it, and a job does not run that script: move "
            f"{name!r} to a module, import it in the script, train again, then {_SHIP}"
        )
    return (
        f"it needs {name!r} of the module {module!r}, which has no such name here: if the module is yours, {_SHIP}; if "
        "it is a library's, train with the version that this image has"
    )


def _explain_missing_module(module: str) -> str:
    package = module.partition(".")[0]
    if package != module and find_spec(package) is not None:
        return ""
    if package in _OTHER_FORMATS:
        return (
            f"it needs the module {module!r}, which this image lacks: save the model as {_OTHER_FORMATS[package]}, "
            "which has its own image"
        )
    return (
        f"it needs the module {module!r}, which this image lacks: if the module is yours, or a package in pure Python, "
        f"{_SHIP}; else add the package to the image"
    )
