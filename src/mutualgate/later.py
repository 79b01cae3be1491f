"""Imports that wait until they are needed: a command is one short process, and most of its time goes into imports."""

import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from types import ModuleType
from typing import Any


def members(package: str, modules: Mapping[str, Sequence[str]]) -> Callable[[str], Any]:
    """`__getattr__` (PEP 562) of a package that offers what its `modules` define, and imports each when a name of it is
    asked for."""
    where = {name: module for module, names in modules.items() for name in names}

    def find(name: str) -> Any:
        if name not in where:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        found = getattr(import_module(f"{package}.{where[name]}"), name)
        setattr(sys.modules[package], name, found)
        return found

    return find


def postpone(*names: str) -> None:
    """Lets `import` give these modules at once, and loads each when something of it is used.

    For what libraries import and hardly ever use. (LazyLoader of importlib loads at the second `import` already.)
    """
    for name in names:
        if name not in sys.modules:
            sys.modules[name] = module = _Postponed(name)
            package, _, last = name.rpartition(".")
            if package:
                setattr(import_module(package), last, module)


class _Postponed(ModuleType):
    """Stands for a module until something of it is asked for, and for whoever holds it then has all that it has."""

    def __getattr__(self, name: str) -> Any:
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        real = import_module(self.__name__)
        vars(self).update(vars(real))
        return getattr(real, name)
