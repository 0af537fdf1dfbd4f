"""A result small enough to read: two levels with one point and two baselines each."""

from __future__ import annotations

from nas.pareto import Baseline, Level, ParetoContent, Point
from search_spaces import get_space

DIGITS = get_space("resnet-digits")


def small_result() -> ParetoContent:
    """Points with one early exit, at which 60 % of the images leave; energy is unknown."""
    point: Point = {
        "id": "",
        "level": 0,
        "subnet": str(DIGITS.subnet(DIGITS.smallest[0])),
        "exits": {"after": [0], "thresholds": [0.9]},
        "top1_error_pct": 10.0,
        "error_source": "measured",
        "latency_ms": 1.0,
        "latency_worst_ms": 1.5,
        "latency_interval_ms": [0.9, 1.1],
        "latency_source": "predicted (simulated)",
        "energy_mj": None,
        "energy_source": None,
        "exit_rates": [0.6, 0.0, 0.0, 0.4],
        "macs": 1,
        "params": 2,
    }
    plain: Point = {
        **point,
        "exits": {"after": [], "thresholds": []},
        "exit_rates": [0.0, 0.0, 0.0, 1.0],
    }
    levels: list[Level] = [
        {"level": k, "gpu_mhz": 100.0 + k, "cpu_mhz": 1.0, "emc_mhz": None, "power_mode": None}
        for k in range(2)
    ]
    baselines: list[Baseline] = [
        {**plain, "id": f"L0{k}-smallest", "level": k, "name": "smallest", "launch_share": 0.5}
        for k in range(2)
    ]
    baselines += [{**b, "id": f"L0{b['level']}-largest", "name": "largest"} for b in baselines]
    return {
        "schema": "nas.pareto/1",
        "device": {
            "name": "nano",
            "processor": "gpu",
            "backend": "tensorrt",
            "precision": "fp16",
            "batch": 1,
            "power_mode": None,
        },
        "space": DIGITS.name,
        "supernet": None,
        "objectives": [{"name": "top1_error_pct"}, {"name": "latency_ms"}],
        "predictors": {},
        "levels": levels,
        "points": [{**point, "id": f"L0{k}-x", "level": k} for k in range(2)],
        "baselines": baselines,
        "front": ["L00-x"],
    }
