"""Loads to simulate: what arrives, what is asked, on which board."""

from __future__ import annotations

from typing import NamedTuple, Sequence

import numpy as np

from .arrivals import Frames, bursts, drawn, periodic
from .heat import Heat
from .manifest import ManifestError
from .policies import Demands, unknown
from .simulated import Board, Model, Thinking
from .table import CostTable
from .traces import Traces

CALM_MS, BUSY_MS = 4000.0, 2000.0  # mean lengths of the two states of bursts
CPU_MS = 1.0  # a CPU clock acts after (arXiv 2606.16106)
GPU_MS, GPU_LOWEST_MS = 7.5, 20.0  # a GPU clock: 5 to 10 ms, 20 and more from the lowest
SLOWER = {"odroid-xu3": 6.0, "raspberry-pi-4": 6.0, "xavier-nx": 4.0}  # than x86: assumed
ANY_SLOWER = 5.0
CORE, CORE_W = 0.35, 1.3  # assumed: of what a network adds; of one Carmel core at 1.42 GHz
ANY, LOAD = "any", 0.35
CHANGE_MS = 5000.0  # changing demands: how long each holds


class Load(NamedTuple):
    """One model's frames, one every `period_ms`: all alike, or in bursts with that mean."""

    period_ms: float
    n_images: int  # 0: a load of 35 %
    target: float  # of the period
    bursty: bool = True


class Scenario(NamedTuple):
    """A board and its models."""

    name: str
    device: str
    loads: Sequence[Load]
    floor_points: float = 1.0  # above the error of the largest subnet
    changing: bool = False  # every 5 s another target and floor


SCENARIOS = {
    s.name: s
    for s in (
        Scenario("odroid-bursts", "odroid-xu3", [Load(100, 8, 0.9)]),
        Scenario("pi-bursts", "raspberry-pi-4", [Load(100, 4, 0.9)]),
        Scenario("nx-bursts", "xavier-nx", [Load(100 / 3, 30, 0.9)]),
        Scenario("odroid-two", "odroid-xu3", [Load(100, 5, 0.9), Load(250, 12, 0.9)]),
        Scenario("nx-two", "xavier-nx", [Load(100 / 3, 12, 0.9), Load(100, 45, 0.9)]),
        Scenario(
            *("odroid-changing", "odroid-xu3", [Load(100, 12, 0.9, bursty=False)]),
            changing=True,
        ),
        Scenario(
            *("nx-changing", "xavier-nx", [Load(100 / 3, 60, 0.9, bursty=False)]),
            changing=True,
        ),
        Scenario("bursts", ANY, [Load(100, 0, 0.9)]),
        Scenario("constant", ANY, [Load(100, 0, 0.9, bursty=False)]),
        Scenario("changing", ANY, [Load(100, 0, 0.9, bursty=False)], changing=True),
    )
}


def get_scenario(name: str, device: str) -> Scenario:
    """A load by name; ManifestError where there is none, or where it is another device's."""
    if name not in SCENARIOS:
        raise ManifestError(unknown("scenario", name, list(SCENARIOS)))
    found = SCENARIOS[name]
    if found.device not in (device, ANY):
        known = [s.name for s in SCENARIOS.values() if s.device in (device, ANY)]
        raise ManifestError(
            f"scenario {name} is a load of {found.device} and the table is of {device}; "
            f"use one of {', '.join(known)}"
        )
    return found


def sized(scenario: Scenario, largest_ms: float) -> Scenario:
    """Loads without a number of images: as many as load the largest subnet's top clock by 35 %."""
    loads = [
        load
        if load.n_images
        else load._replace(n_images=max(1, round(LOAD * load.period_ms / largest_ms)))
        for load in scenario.loads
    ]
    return scenario._replace(loads=loads)


def delays(n_levels: int, processor: str, switch_ms: float | None = None) -> np.ndarray:
    """Milliseconds (L, L) from asking for a clock until it acts."""
    usual = switch_ms if switch_ms is not None else GPU_MS if processor == "gpu" else CPU_MS
    found = np.full((n_levels, n_levels), usual)
    if processor == "gpu" and switch_ms is None:
        found[0, :] = GPU_LOWEST_MS
    np.fill_diagonal(found, 0.0)
    return found


def thinking(table: CostTable, processor: str, device: str) -> Thinking:
    """What a decision takes: assumed factors on what was measured on one x86 core.

    A CPU decides at its present clock, one core of the four that a network uses; beside a GPU it
    has a clock of its own.
    """
    factor = SLOWER.get(device, ANY_SLOWER) / 1e3
    if processor == "gpu":
        return Thinking(np.full(table.n_levels, factor), table.idle_w + CORE_W)
    watts = table.idle_w + CORE * ((table.mean_mj / table.mean_ms).max(axis=0) - table.idle_w)
    return Thinking(factor * table.mhz[-1] / table.mhz, watts)


def board_of(
    table: CostTable, processor: str, device: str, switch_ms: float | None = None
) -> Board:
    """A board that warms, assumed as `Heat` has it, and whose governor's decisions are paid for."""
    delay_ms = delays(table.n_levels, processor, switch_ms)
    return Board(table.idle_w, delay_ms, Heat(), thinking=thinking(table, processor, device))


def answers(table: CostTable, traces: Traces) -> tuple[np.ndarray, np.ndarray]:
    """Which exit answers (C, N) every image of the traces, and whether rightly."""
    found = [traces.leave(*row) for row in zip(table.subnets, table.exits, table.thresholds)]
    return np.array([at for at, _ in found]), np.array([right for _, right in found])


def last_error_pct(table: CostTable, traces: Traces) -> dict[str, float]:
    """Error of each subnet's final classifier on the images of the traces."""
    last = {subnet: [exits[-1]] for subnet, exits in zip(table.subnets, table.exits)}
    right = {subnet: traces.leave(subnet, exits, [])[1] for subnet, exits in last.items()}
    return {subnet: float(100 * (1 - found.mean())) for subnet, found in right.items()}


def drawn_answers(table: CostTable, n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Without traces: exits drawn at the table's rates, the harder of N images later in all.

    As many of the N are answered wrongly as the table says.
    """
    rng = np.random.default_rng(seed)
    hardness = rng.random(n)
    at = (hardness[None, :, None] > table.rates.cumsum(axis=1)[:, None, :-1]).sum(axis=2)
    ranks = rng.permuted(np.tile(np.arange(n), (len(table.ids), 1)), axis=1)
    return at, ranks >= table.error_pct[:, None] * n / 100


def frames_of(load: Load, seconds: float, n_images: int, rng: np.random.Generator) -> Frames:
    """What arrives within `seconds`."""
    at_ms = periodic(seconds, load.period_ms)
    sizes = np.full(len(at_ms), load.n_images)
    if load.bursty:
        sizes = bursts(at_ms, load.n_images, rng, CALM_MS, BUSY_MS)
    return drawn(at_ms, sizes, n_images, rng)


def demands_of(
    scenario: Scenario, load: Load, largest_pct: float, seconds: float, seed: int
) -> list[tuple[float, Demands]]:
    """What is asked of a model, from which millisecond on."""
    if not scenario.changing:
        floor = largest_pct + scenario.floor_points
        return [(0.0, Demands(load.target * load.period_ms, floor))]
    rng = np.random.default_rng([seed, 1])
    found = []
    for at in np.arange(0.0, seconds * 1e3, CHANGE_MS):
        target, points = rng.choice([0.5, 0.9]), rng.choice([0.5, 2.0])
        found.append((float(at), Demands(target * load.period_ms, largest_pct + points)))
    return found


def strictest(demands: Sequence[tuple[float, Demands]]) -> Demands:
    """What a fixed choice must meet: the shortest target and the lowest floor."""
    return Demands(min(d.target_ms for _, d in demands), min(d.floor_error_pct for _, d in demands))


def build(
    scenario: Scenario,
    table: CostTable,
    answered: tuple[np.ndarray, np.ndarray],
    largest_pct: float,
    seconds: float,
    seed: int,
) -> list[Model]:
    """The models of a scenario with drawn frames; the same for every agent."""
    models = []
    for i, load in enumerate(scenario.loads):
        rng = np.random.default_rng([seed, i])
        frames = frames_of(load, seconds, answered[0].shape[1], rng)
        demands = demands_of(scenario, load, largest_pct, seconds, seed)
        models.append(Model(table, *answered, frames, demands))
    return models
