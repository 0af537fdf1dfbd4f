"""The sampler of a study: ours by name, Optuna's by name, or the user's own object."""

from __future__ import annotations

import inspect

import optuna
from optuna.samplers import BaseSampler

from nas.samplers.batches import BatchSampler
from nas.samplers.domain import SpaceDomain
from nas.samplers.nsga2 import GenerationSampler
from nas.search.settings import OPTUNA, SearchSettings
from search_spaces import InputError, Space


def sampler_of(settings: SearchSettings, space: Space) -> BaseSampler:
    """The sampler that the settings name or hold. InputError: none such, or one of another space.

    Optuna's own take the search's seed, where they take one.
    """
    sampler = settings.sampler
    if not isinstance(sampler, str):
        if isinstance(sampler, BatchSampler) and isinstance(sampler.domain, SpaceDomain):
            own = sampler.domain.space
            if own.name != space.name:
                raise InputError(
                    f"`sampler` was made for the space {own.name}, the search is in {space.name}"
                )
        return sampler
    if sampler == "surrogate":
        from nas.samplers.surrogate import SurrogateSampler

        return SurrogateSampler(space, seed=settings.seed)
    if sampler.startswith(OPTUNA):
        return optunas(sampler.removeprefix(OPTUNA), settings.seed)
    return GenerationSampler(space, seed=settings.seed, population=settings.population)


def optunas(name: str, seed: int) -> BaseSampler:
    """`optuna.samplers.NAME` with its defaults. InputError: not there, or it needs arguments."""
    found = getattr(optuna.samplers, name, None)
    if not (inspect.isclass(found) and issubclass(found, BaseSampler)):
        known = [n for n in optuna.samplers.__all__ if n.endswith("Sampler") and "Base" not in n]
        raise InputError(f"`sampler` names {name!r}; optuna.samplers has {', '.join(known)}")
    parameters = inspect.signature(found).parameters
    try:
        sampler: BaseSampler = found(**({"seed": seed} if "seed" in parameters else {}))
    except TypeError as error:
        raise InputError(
            f"`sampler` {name} needs arguments ({error}); make one and give the object"
        ) from None
    return sampler


def in_batches(sampler: BaseSampler) -> BatchSampler | None:
    """`sampler` if it breeds whole generations of a space; None: it is asked for each subnet."""
    if isinstance(sampler, BatchSampler) and isinstance(sampler.domain, SpaceDomain):
        return sampler
    return None
