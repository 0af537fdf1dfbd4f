"""The package as an Optuna user meets it: what it loads, its examples, any study."""

import doctest
import subprocess
import sys
from importlib import import_module

import numpy as np
import optuna
import pytest

import nas.samplers
from nas.pareto import hypervolume
from nas.samplers import GenerationSampler, SurrogateSampler
from search_spaces import InputError

HEAVY = {"xgboost", "pandas", "sqlalchemy", "sklearn", "torch", "ray", "alembic", "typer"}


def loaded_by(statement):
    code = f"import optuna, sys\nbefore = set(sys.modules)\n{statement}\n" + (
        "print(*{name.split('.')[0] for name in set(sys.modules) - before})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_importing_the_samplers_loads_nothing_heavy():
    loaded = loaded_by("import nas.samplers")
    assert {"nas", "search_spaces"} <= loaded
    assert not loaded & (HEAVY | {"scipy"})
    surrogate = loaded_by("from nas.samplers import SurrogateSampler")
    assert "scipy" in surrogate
    assert not surrogate & HEAVY


def test_every_public_name_is_there_and_no_other():
    assert all(getattr(nas.samplers, name) for name in nas.samplers.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'Sampler'"):
        _ = nas.samplers.Sampler


@pytest.mark.parametrize("name", ["nsga2", "surrogate"])
def test_examples_run(name):
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    found = doctest.testmod(import_module(f"nas.samplers.{name}"))
    assert found.attempted > 5
    assert found.failed == 0


def any_study(trial):
    """What an Optuna user may write: names, numbers, one condition, and two directions."""
    kind = trial.suggest_categorical("kind", ["small", "large", None])
    layers = trial.suggest_int("layers", 1, 9)
    width = trial.suggest_int("width", 8, 512, log=True)
    rate = trial.suggest_float("rate", 0, 1)
    bonus = {"small": 0, "large": 2, None: -1}[kind]
    return bonus + layers - abs(width - 64) / 64 - (rate - 0.5) ** 2, layers * width


def mean_hypervolume(make, seeds, n_trials):
    """Of studies with one sampler per seed."""
    found = []
    for seed in seeds:
        study = optuna.create_study(directions=["maximize", "minimize"], sampler=make(seed))
        study.optimize(any_study, n_trials=n_trials)
        values = np.array([t.values for t in study.trials]) * [-1, 1]
        found.append(hypervolume(values, (10.0, 5000.0)))
    return np.mean(found)


@pytest.mark.parametrize(
    ("make", "seeds", "n_trials"),
    [
        (lambda seed: GenerationSampler(seed=seed, population=20), range(4), 120),
        (lambda seed: SurrogateSampler(seed=seed, n_initial=10, population=1), [0], 40),
    ],
    ids=["generations", "surrogate"],
)
def test_any_optuna_study_can_use_it_alone(make, seeds, n_trials):
    ours = mean_hypervolume(make, seeds, n_trials)
    random = mean_hypervolume(lambda s: optuna.samplers.RandomSampler(seed=s), seeds, n_trials)
    assert ours > random


@pytest.mark.parametrize("make", [GenerationSampler, SurrogateSampler])
def test_what_cannot_be_sampled_is_refused(make):
    with pytest.raises(InputError, match="`population` must be at least 1, got 0"):
        make(population=0)
    with pytest.raises(InputError, match="knows no parameters yet"):
        make().ask()


def test_a_model_needs_something_to_start_from():
    with pytest.raises(InputError, match="`n_initial` must be at least 1, got 0"):
        SurrogateSampler(n_initial=0)
