"""From the points of a Pareto table to ONNX files that a board runs.

A name is imported when it is asked for: ONNX is an extra, and the function `nas.export` says so.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from nas.called import call_package

if TYPE_CHECKING:
    from nas.export.plan import Export, plan_export
    from nas.export.write import write_export

__all__ = ["Export", "plan_export", "write_export"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = "nas.export.write" if name == "write_export" else "nas.export.plan"
    return getattr(import_module(home), name)


call_package(__name__)
