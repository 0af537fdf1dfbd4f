"""Optuna chooses subnets; every exit policy at every DVFS level of each is scored at once.

A name is imported when it is asked for: settings and bounds need neither pandas nor SQLAlchemy.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from nas.called import call_package

if TYPE_CHECKING:
    from nas.samplers.nsga2 import GenerationSampler
    from nas.samplers.surrogate import SurrogateSampler
    from nas.search.run import plan_search, run_search, search_devices
    from nas.search.score.bounds import Bounds
    from nas.search.score.scorer import Scorer, Scores
    from nas.search.settings import SearchSettings
    from nas.transfer.costs import target_costs
    from nas.transfer.plan import write_plan
    from nas.transfer.proxy import load_proxy

__all__ = [
    "Bounds",
    "GenerationSampler",
    "Scorer",
    "Scores",
    "SearchSettings",
    "SurrogateSampler",
    "load_proxy",
    "plan_search",
    "run_search",
    "search_devices",
    "target_costs",
    "write_plan",
]
_WHERE = {
    "Bounds": "nas.search.score.bounds",
    "GenerationSampler": "nas.samplers.nsga2",
    "Scorer": "nas.search.score.scorer",
    "Scores": "nas.search.score.scorer",
    "SearchSettings": "nas.search.settings",
    "SurrogateSampler": "nas.samplers.surrogate",
    "load_proxy": "nas.transfer.proxy",
    "plan_search": "nas.search.run",
    "run_search": "nas.search.run",
    "search_devices": "nas.search.run",
    "target_costs": "nas.transfer.costs",
    "write_plan": "nas.transfer.plan",
}


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_WHERE[name]), name)


call_package(__name__)
