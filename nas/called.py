"""A package that is called as well: `nas.search` is the room of the search and the function.

A module's class may be changed (Python's data model, "Customizing module attribute access"). So
`nas.search(...)` and `from nas.search import SearchSettings` both hold, whatever was imported
before; type checkers see the function, as `nas/__init__.py` says.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from inspect import Signature, signature
from types import ModuleType
from typing import Any


class CalledPackage(ModuleType):
    """Calls the function of `nas.api` that has the package's name."""

    @property
    def _function(self) -> Callable[..., Any]:
        found: Callable[..., Any] = getattr(
            import_module("nas.api"), self.__name__.rpartition(".")[2]
        )
        return found

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        return self._function(*arguments, **named)

    @property
    def __signature__(self) -> Signature:
        return signature(self._function)


def call_package(name: str) -> None:
    """Make the package `name` one that is called; its last line does so."""
    sys.modules[name].__class__ = CalledPackage
