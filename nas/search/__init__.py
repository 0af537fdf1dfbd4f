"""Optuna chooses subnets; every exit policy at every DVFS level of each is scored at once."""

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
