"""Imports libraries without the parts that scoring does not use, or only when they are used."""

import importlib
import importlib.util
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from types import ModuleType
from typing import Any

_OTHER_PARTS_OF_NUMPY = {"numpy.f2py": (), "numpy.testing": ()}
"""Parts of numpy that SciPy and scikit-learn import only to have all of numpy's names in a module of theirs."""


class LazyModule(ModuleType):
    """A placeholder in `sys.modules` for a module that is slow to import and rarely used.

    The first access to an attribute imports the module, once for all threads. The named functions
    are the exception: libraries import them by name during their own import, so each of them
    imports the module only when it is called.
    """

    def __init__(self, name: str, functions: Iterable[str]) -> None:
        super().__init__(name)
        self.__spec__ = importlib.util.find_spec(name)
        if self.__spec__ is not None:
            # Submodules can be imported without the module.
            self.__path__ = list(self.__spec__.submodule_search_locations or ())
        self._functions = frozenset(functions)
        self._lock = threading.RLock()

    def __getattr__(self, name: str) -> Any:
        if name in self.__dict__["_functions"] and sys.modules.get(self.__name__) is self:
            return self._lazy_function(name)
        return getattr(self._module(), name)

    def _lazy_function(self, name: str) -> Callable[..., Any]:
        def lazy(*arguments: Any, **named: Any) -> Any:
            return getattr(self._module(), name)(*arguments, **named)

        lazy.__name__ = lazy.__qualname__ = name
        lazy.__module__ = self.__name__
        return lazy

    def _module(self) -> ModuleType:
        with self._lock:
            if sys.modules.get(self.__name__) is self:
                del sys.modules[self.__name__]
            return importlib.import_module(self.__name__)


def import_lazily(name: str, functions: Iterable[str] = ()) -> None:
    """Install a `LazyModule` for a module of a package, unless it is imported already."""
    if name in sys.modules:
        return
    package, _, attribute = name.rpartition(".")
    parent = importlib.import_module(package)
    module = LazyModule(name, functions)
    sys.modules[name] = module
    # A real import sets this attribute too. Without it, the package would import the module.
    setattr(parent, attribute, module)


@contextmanager
def postponed(modules: Mapping[str, Iterable[str]]) -> Iterator[None]:
    """Let libraries that are imported in this block import other modules later, when they use them.

    `modules` are modules of numpy and SciPy, which import their parts on first use themselves, so nothing is
    different after the block. Each has the names that the libraries import from it. They must use these names
    only as functions and, without calling them, in annotations.
    """
    missing = [name for name in modules if name not in sys.modules]
    for name in missing:
        import_lazily(name, modules[name])
    try:
        yield
    finally:
        for name in missing:
            if isinstance(sys.modules.get(name), LazyModule):
                del sys.modules[name]
                package, _, attribute = name.rpartition(".")
                delattr(sys.modules[package], attribute)


def postponed_parts_of_numpy() -> AbstractContextManager[None]:
    """Import SciPy and scikit-learn, in this block, without numpy's parts for tests and for Fortran."""
    return postponed(_OTHER_PARTS_OF_NUMPY)


def import_without_sklearn(name: str) -> Any:
    """Import XGBoost or LightGBM without scikit-learn, unless that is imported already.

    Their compat.py imports scikit-learn (and XGBoost's also pandas) if it is installed, for
    wrappers that scoring does not use; that is two thirds of the import time or more. A None entry
    in `sys.modules` makes this import fail, which both libraries handle. pandas stays available,
    because LightGBM needs it for models with pandas categories.
    """
    blocked = "sklearn" not in sys.modules
    if blocked:
        sys.modules["sklearn"] = None  # type: ignore[assignment]
    try:
        with postponed_parts_of_numpy():
            return importlib.import_module(name)
    finally:
        if blocked:
            del sys.modules["sklearn"]
