"""`nas search --instant`: a trained optimiser proposes subnets, the search's own score judges them.

The optimiser is trained once for an accuracy table, on the profiles that ship with the project:
every backend, precision and two batch sizes, at three levels, latency and energy each count as a
device. Any target, also one without a profile, is then what ten of its programs cost.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from nas.devices import AnalyticDevice, Device, load_profile, profile_names
from nas.search.front.archive import Archive
from nas.search.front.best_measured import best_measured
from nas.search.listener import Listener
from nas.search.model import Model
from nas.search.settings import SearchSettings
from nas.search.targets import Target
from nas.transfer.costs import TargetCosts
from nas.transfer.plan import choose_levels
from nas.words import counted
from predictors import NeuralOptimizer
from search_spaces import Floats, Genes, InputError, Space

N_KNOWN = 25  # of the measured subnets are judged as well
N_BOUNDS, N_TAKEN = 12, 4  # bounds per level and quantity, designs taken for each
N_SUBNETS, BATCHES = 4000, (1, 16)  # what the optimiser is trained on
FILE = "optimiser.json"


def instant_archive(
    settings: SearchSettings,
    model: Model,
    target: Target,
    listener: Listener,
) -> Archive:
    """Everything proposed for the target, scored; the bounds decide what stays."""
    optimizer = _optimiser(settings, model, listener)
    start = time.perf_counter()
    genes, n = proposals(optimizer, target.costs, target.device, settings)
    seconds = time.perf_counter() - start
    each = f"{counted(n, 'bound')}, {1e3 * seconds / n:.1f} ms each"
    listener.stage(f"{counted(len(genes), 'subnet')} proposed in {seconds:.2f} s ({each})")
    problem, scorer = target.problem, target.problem.scorer
    archive = Archive(problem.n_levels, problem.bounds, problem.objectives)
    known = best_measured(model.accuracy.table.genes, problem, N_KNOWN)
    genes = np.unique(np.concatenate([genes, known]), axis=0)
    for part in scorer.at_all_clocks(genes, scorer(genes)):
        archive.add(*part)
    return archive


def proposals(
    optimizer: NeuralOptimizer, costs: TargetCosts, device: Device, settings: SearchSettings
) -> tuple[Genes, int]:
    """Distinct subnets for a spread of bounds at the lowest, middle and top level; how many bounds.

    A bound is on the cost without early exits, between the smallest and the largest subnet, or the
    user's own: policies are scored later, all of them.
    """
    space = optimizer.space
    pool = np.unique(space.sample_spread(512, np.random.default_rng(0), repeats=True), axis=0)
    anchors = pool[optimizer.anchors(pool)]
    ends = np.concatenate([space.smallest, space.largest])
    found, n = [ends], 0
    own = settings.bounds
    asked = (own.max_latency_ms, own.max_worst_latency_ms), (own.max_energy_mj,)
    known = zip(costs(anchors, _whole(space)), costs(ends, _whole(space)), asked, strict=True)
    for quantity, (known_cost, end_cost, wanted) in enumerate(known):
        if quantity and costs.energy_source is None:
            continue
        for level in (at.level for at in choose_levels(device.levels)):
            embedded = optimizer.embed(anchors, np.log(known_cost[:, 0, level]))
            least, most = np.sort(np.log(end_cost[:, 0, level]))
            bounds = [*np.linspace(least, most, N_BOUNDS), *(np.log(w) for w in wanted if w)]
            found += [optimizer.propose(embedded, bound).genes[:N_TAKEN] for bound in bounds]
            n += len(bounds)
    return np.unique(np.concatenate(found), axis=0), n


def train_optimiser(
    model: Model, *, seed: int, without: Collection[str] = (), n_steps: int = 2000
) -> NeuralOptimizer:
    """From the supernet's accuracies and the shipped profiles, but for those named `without`."""
    space, rng = model.space, np.random.default_rng(seed)
    drawn = [
        space.sample(N_SUBNETS // 2, rng),
        space.sample_spread(N_SUBNETS // 2, rng, repeats=True),
    ]
    genes = np.unique(np.concatenate(drawn), axis=0)
    accuracy = -model.accuracy(genes)[0].min(axis=1)
    names = [name for name in profile_names() if name not in without]
    optimizer = NeuralOptimizer(space, n_steps=n_steps, seed=seed)
    return optimizer.fit(genes, *_known_costs(space, genes, names), accuracy)


def _known_costs(space: Space, genes: Genes, names: Sequence[str]) -> tuple[Floats, list[str]]:
    """Log costs (n, P) without early exits on devices made of profiles, and their families (P,)."""
    operators = space.operators(genes, np.repeat(_whole(space), len(genes), axis=0))
    columns, families = [], []
    for name in names:
        profile = load_profile(name)
        for backend, runtime in profile.backends.items():
            for precision in runtime.precision:
                for batch in BATCHES:
                    device = AnalyticDevice(
                        profile, backend=backend, precision=precision, batch=batch
                    )
                    levels = [at.level for at in choose_levels(device.levels)]
                    columns += [np.log(cost[:, levels]) for cost in device.cost(operators)]
                    families += [name] * 2 * len(levels)
    return np.concatenate(columns, axis=1), families


def _whole(space: Space) -> Any:
    """The program without early exits, (1, E + 1)."""
    return np.arange(space.n_exits + 1)[None] == space.n_exits


def _optimiser(settings: SearchSettings, model: Model, listener: Listener) -> NeuralOptimizer:
    """From `optimiser`, else the supernet's folder or `out`; trained where there is none."""
    accuracies = model.accuracy.table.sha256
    places = [settings.optimiser] if settings.optimiser else [model.folder, settings.folder]
    for folder in places:
        if folder is None or not (folder / FILE).is_file():
            continue
        optimizer = NeuralOptimizer.load(folder, model.space)
        about = optimizer.about_
        if about.get("accuracy_sha256") == accuracies:
            listener.stage(f"optimiser of {folder}, trained on {about['devices']}")
            return optimizer
        if settings.optimiser:
            raise InputError(
                f"{folder / FILE} was trained for other accuracies than the searched ones; "
                "give another `optimiser`, or remove it to train again"
            )
    folder = settings.optimiser or settings.folder
    listener.stage("training an optimiser, once for these accuracies: about half a minute")
    optimizer = train_optimiser(model, seed=settings.seed)
    devices = f"simulated {', '.join(profile_names())}"
    optimizer.save(folder, accuracy_sha256=accuracies, devices=devices)
    listener.stage(f"optimiser: {folder / FILE}; it serves other devices as well")
    return optimizer
