"""Hardware-aware search of dynamic networks: a Pareto set of configurations per DVFS level."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from nas.clash import check_packages
from nas.version import __version__

if TYPE_CHECKING:
    from nas.api import (
        Measured,
        ParetoTable,
        devices,
        export,
        get_device,
        measure,
        prune,
        read_pareto,
        search,
        search_together,
    )

__all__ = [
    "Measured",
    "ParetoTable",
    "__version__",
    "devices",
    "export",
    "get_device",
    "measure",
    "prune",
    "read_pareto",
    "search",
    "search_together",
]
CALLED = ("devices", "export", "measure", "search")  # packages that are called as well

check_packages()


def __getattr__(name: str) -> Any:
    """A function of `nas.api` when it is first used (PEP 562): `import nas` loads nothing else."""
    if name not in __all__:
        raise AttributeError(f"module 'nas' has no attribute {name!r}; it has {', '.join(__all__)}")
    if name in CALLED:
        return import_module(f"nas.{name}")
    value = getattr(import_module("nas.api"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
