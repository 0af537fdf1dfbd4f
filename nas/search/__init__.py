"""Optuna chooses subnets; every exit policy at every DVFS level of each is scored at once."""

from nas.search.costs import target_costs
from nas.search.inner import Scorer, Scores
from nas.search.objectives import Bounds
from nas.search.proxy import load_proxy
from nas.search.run import plan_search, run_search, search_devices
from nas.search.sampler import GenerationSampler
from nas.search.settings import SearchSettings, parse_levels
from nas.search.surrogate import SurrogateSampler
from nas.search.target import write_plan

__all__ = [
    "Bounds",
    "GenerationSampler",
    "Scorer",
    "Scores",
    "SearchSettings",
    "SurrogateSampler",
    "load_proxy",
    "parse_levels",
    "plan_search",
    "run_search",
    "search_devices",
    "target_costs",
    "write_plan",
]
