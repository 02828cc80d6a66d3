"""A module that is imported when somebody asks it for something, and not before."""

import importlib
import importlib.util
import sys
import threading
from collections.abc import Callable
from types import ModuleType
from typing import Any


class LateModule(ModuleType):
    """Stands in `sys.modules` for a module that takes long to import and that most jobs never call.

    Whatever it is asked for imports the module, once, whichever thread asks; only the named functions are handed out
    before that, as ones that import it when they are called, because libraries take functions out of a module while
    they are imported themselves.
    """

    def __init__(self, name: str, functions: frozenset[str]) -> None:
        super().__init__(name)
        self.__spec__ = importlib.util.find_spec(name)
        if self.__spec__ is not None:
            # Parts of it can be imported without it.
            self.__path__ = list(self.__spec__.submodule_search_locations or ())
        self._functions = functions
        self._lock = threading.RLock()

    def __getattr__(self, name: str) -> Any:
        if name in self.__dict__["_functions"] and sys.modules.get(self.__name__) is self:
            return self._late(name)
        return getattr(self._module(), name)

    def _late(self, name: str) -> Callable[..., Any]:
        def late(*arguments: Any, **named: Any) -> Any:
            return getattr(self._module(), name)(*arguments, **named)

        late.__name__ = late.__qualname__ = name
        late.__module__ = self.__name__
        return late

    def _module(self) -> ModuleType:
        with self._lock:
            if sys.modules.get(self.__name__) is self:
                del sys.modules[self.__name__]
            return importlib.import_module(self.__name__)


def import_late(name: str, functions: frozenset[str]) -> None:
    """Let a module of a package be imported late, if nobody has imported it yet."""
    if name in sys.modules:
        return
    package, _, own = name.rpartition(".")
    parent = importlib.import_module(package)
    module = LateModule(name, functions)
    sys.modules[name] = module
    # As an import would, so that the package does not look for it by itself.
    setattr(parent, own, module)
