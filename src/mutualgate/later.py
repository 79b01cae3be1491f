"""Imports that wait until they are needed: a command is one short process, and most of its time goes into imports."""

import sys
from importlib import import_module
from types import ModuleType
from typing import Any


def postpone(name: str, **known: object) -> None:
    """Lets `import` give this module at once, and loads it when something of it is used that is not `known` here.

    For what libraries import and hardly ever use. (LazyLoader of importlib loads at the second `import` already.)
    """
    if name in sys.modules:
        return
    sys.modules[name] = module = _Postponed(name)
    vars(module).update(known)
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
