"""A network of `nas prune` as an export: one configuration, measured where it was pruned."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from nas.export.plan import Export, Network
from nas.pareto import ParetoTable, Point
from nas.pareto.provenance import MEASURED
from nas.zoo.pruned import pruned_network
from supernets import Segment, StaticNet, sha256
from supernets.kernels import pack_network

DEVICE = {"name": "host", "processor": "cpu", "backend": "kernels", "precision": "fp32", "batch": 1}


def is_pruned(path: Path) -> bool:
    """Whether `nas prune` wrote the folder `path`."""
    return (path / "pruned.json").exists()


def plan_pruned(folder: Path) -> Export:
    """What an export of the folder holds; InputError: it is damaged, its network is not found."""
    net, about = pruned_network(folder)
    images, block = about["images"], about["settings"]["g"]
    shape = images["channels"], images["resolution"], images["resolution"]
    static = net.fold() if isinstance(net, StaticNet) else _one_segment(net)
    network = Network("net00", about["subnet"] or about["net"], static, [1.0], shape, block=block)
    entry = {"name": about["net"], "sha256": sha256(folder / "weights.safetensors")}
    entry["dataset"] = about["data"]
    level = {"level": 0, "gpu_mhz": None, "cpu_mhz": None, "emc_mhz": None, "power_mode": None}
    table = ParetoTable(cast(Any, {"device": DEVICE, "levels": [level]}))
    export = Export(table, cast(Any, entry), images, None, shares=False)
    export.networks["net00"] = network
    export.configurations.append((_point(network, about), "net00"))
    return export


def _one_segment(net: nn.Module) -> StaticNet:
    """A network without early exits as a chain of one segment."""
    folded = pack_network(net, {}, 1, kernels=False)
    return StaticNet([Segment(folded, nn.Identity())], [0])


def _point(network: Network, about: dict[str, Any]) -> Point:
    """The network as a point: accuracy on the test images, time on the machine that pruned it."""
    macs, params = work_of(network)
    time_ms, exits = about["latency_ms_after"], network.net.head_ids
    point: Point = {
        "id": "pruned",
        "level": 0,
        "subnet": network.subnet,
        "exits": {"after": [], "thresholds": []},
        "top1_error_pct": round(100 - about["top1_pct_after"], 2),
        "error_source": MEASURED,
        "latency_ms": time_ms,
        "latency_worst_ms": time_ms,
        "latency_interval_ms": None,
        "latency_source": MEASURED,
        "energy_mj": None,
        "energy_source": None,
        "exit_rates": [0.0] * exits[-1] + [1.0],
        "macs": macs,
        "params": params,
    }
    return point


@torch.inference_mode()
def work_of(network: Network) -> tuple[int, int]:
    """Multiply-accumulates and weights that are not zero."""
    macs, weights = 0, dict[Any, int]()  # a layer that runs twice has its weights once

    def note(layer: Any, _: Any, output: Tensor) -> None:
        nonlocal macs
        weights[layer] = kept = int((layer.weight != 0).sum())
        macs += kept * (output[0, 0].numel() if output.ndim == 4 else 1)

    layers = [m for m in network.net.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    hooks = [layer.register_forward_hook(note) for layer in layers]
    network.net(torch.zeros(1, *network.input_shape))
    for hook in hooks:
        hook.remove()
    return macs, sum(weights.values())
