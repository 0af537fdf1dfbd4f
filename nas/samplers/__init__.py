"""Optuna samplers that choose whole batches; they serve any study.

`study.optimize` and `study.ask` take them as they take Optuna's own. Beyond Optuna, numpy and
`search_spaces` only `SurrogateSampler` needs more (SciPy), so it is imported when asked for.
"""

from typing import TYPE_CHECKING, Any

from nas.samplers.batches import BatchSampler
from nas.samplers.nsga2 import GenerationSampler

if TYPE_CHECKING:
    from nas.samplers.surrogate import SurrogateSampler

__all__ = ["BatchSampler", "GenerationSampler", "SurrogateSampler"]


def __getattr__(name: str) -> Any:
    if name == "SurrogateSampler":
        from nas.samplers.surrogate import SurrogateSampler

        return SurrogateSampler
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
