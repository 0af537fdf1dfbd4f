"""What dynamic subnets cost: switching, views against copies, extraction, the sandwich step.

    python benchmarks/switching.py

Batch 1, fp32, one thread, eval mode with every subnet's own batch-norm statistics; medians of
interleaved calls. The zoo's network with random weights (they cost what trained ones do) and, where
the public `ofa` package is installed, its MobileNetV3 beside ours: same subnets, same weights.
"""

from __future__ import annotations

import importlib.util
import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from nas.devices.host import cpu_name
from ofa_package import ofa_networks
from search_spaces import Subnet, get_space
from supernets import (
    PreparedSubnets,
    Supernet,
    bf16_pays,
    build_supernet,
    cached_norm,
    calibrate,
    extract,
    to_ofa_state_dict,
)
from supernets.training import TrainSettings, sandwich_step
from supernets.training.memory import keep_freed_memory

RESULTS = Path(__file__).parent / "results" / "switching.json"
REPEATS, N_SUBNETS = 60, 6


def medians_ms(runs: dict[str, Callable[[], object]], repeats: int = REPEATS) -> dict[str, float]:
    """Median milliseconds of every run; the runs take turns, so that all see the same machine."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for i in range(repeats + 3):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            if i >= 3:
                times[name].append(1e3 * (time.perf_counter() - start))
    return {name: float(np.median(t)) for name, t in times.items()}


def sampled(net: Supernet) -> list[Subnet]:
    """The largest, the smallest, and some in between."""
    genes = net.space.sample_spread(N_SUBNETS, np.random.default_rng(0))
    return net.space.subnets(genes)


@torch.inference_mode()
def forward_rows(net: Supernet) -> list[dict[str, Any]]:
    """Views, a plain copy with batch norm, a prepared copy: one row per subnet."""
    rows = []
    prepare = PreparedSubnets(net)
    for subnet in sampled(net):
        shape = net.space.input_shape(subnet)
        statistics = calibrate(net, subnet, torch.randn(8, *shape))
        norm, x = cached_norm(statistics), torch.randn(1, *shape)
        x = x.contiguous(memory_format=torch.channels_last)
        plain = extract(net, subnet, statistics=statistics)
        plain.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        prepared = prepare(subnet, statistics=statistics)

        def views(subnet: Subnet = subnet, norm: Any = norm, x: torch.Tensor = x) -> object:
            return net(x, subnet, norm=norm)

        times = medians_ms(
            {
                "views_ms": views,
                "extracted_ms": lambda x=x, plain=plain: plain(x),
                "prepared_ms": lambda x=x, prepared=prepared: prepared(x),
            }
        )
        extraction = medians_ms({"e": lambda s=subnet: extract(net, s)}, 15)["e"]
        rows.append(
            {
                "space": net.space.name,
                "subnet": str(subnet),
                **{k: round(v, 4) for k, v in times.items()},
                "views_to_extracted": round(times["views_ms"] / times["extracted_ms"], 3),
                "prepared_to_extracted": round(times["prepared_ms"] / times["extracted_ms"], 3),
                "prepared_bytes": prepared.n_bytes,
                "extraction_ms": round(extraction, 3),
            }
        )
    return rows


@torch.inference_mode()
def switch_row(net: Supernet) -> dict[str, Any]:
    """A call after a switch against a call of the same subnet, and whether weights are copied."""
    large, small = sampled(net)[:2]
    x = torch.randn(1, *net.space.input_shape(large))
    norms = {s: cached_norm(calibrate(net, s, x)) for s in (large, small)}
    found: dict[str, list[float]] = {"same": [], "switched": []}
    last = small
    for i in range(8 * REPEATS):
        subnet = (large, large, small, small)[i % 4]
        start = time.perf_counter()
        net(x, subnet, norm=norms[subnet])
        if subnet is large:
            kind = "same" if subnet is last else "switched"
            found[kind].append(1e3 * (time.perf_counter() - start))
        last = subnet
    pointers = [p.data_ptr() for p in net.parameters()]
    views = [p[: max(1, len(p) // 2)].data_ptr() for p in net.parameters()]
    return {
        "same_subnet_ms": round(float(np.median(found["same"])), 4),
        "after_a_switch_ms": round(float(np.median(found["switched"])), 4),
        "switch_ms": round(float(np.median(found["switched"]) - np.median(found["same"])), 4),
        "weight_bytes_copied": 0 if pointers == views else None,
    }


def training_row(net: Supernet) -> dict[str, Any]:
    """One sandwich step against the forward and backward passes that it consists of."""
    torch.set_num_threads(2)
    keep_freed_memory()
    net.train()
    settings = TrainSettings(bf16=bf16_pays())
    x = torch.randn(256, 3, 32, 32).contiguous(memory_format=torch.channels_last)
    y = torch.randint(0, 10, (256,))
    random = net.space.sample(1, np.random.default_rng(0))
    subnets = net.space.subnets(np.concatenate([net.space.largest, net.space.smallest, random]))

    def one_pass(subnet: Subnet) -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=settings.bf16):
            logits = net(x, subnet)
        sum(torch.nn.functional.cross_entropy(z.float(), y) for z in logits).backward()

    times = medians_ms(
        {
            "step": lambda: sandwich_step(net, x, y, np.random.default_rng(0), settings),
            **{str(s): lambda s=s: one_pass(s) for s in subnets},
        },
        repeats=7,
    )
    step = times.pop("step")
    torch.set_num_threads(1)
    net.eval()
    return {
        "sandwich_step_ms": round(step, 1),
        "sum_of_passes_ms": round(sum(times.values()), 1),
        "throughput_to_passes": round(sum(times.values()) / step, 3),
        "images_per_s": round(256 / step * 1e3),
    }


@torch.inference_mode()
def ofa_rows(net: Supernet) -> list[dict[str, Any]]:
    """The public package on the same subnets with the same weights."""
    theirs = ofa_networks().OFAMobileNetV3(
        dropout_rate=0,
        ks_list=[3, 5, 7],
        expand_ratio_list=[3, 4, 6],
        depth_list=[2, 3, 4],
    )
    theirs.load_state_dict(to_ofa_state_dict(net))
    theirs.eval()
    rows = []
    for subnet in sampled(net):
        config: Any = net.space.to_ofa(subnet)  # type: ignore[attr-defined]
        largest = net.space.to_ofa(net.space.subnet(net.space.largest))  # type: ignore[attr-defined]
        full = {k: [a or b for a, b in zip(config[k], largest[k], strict=True)] for k in "ke"[1:]}
        full["ks"] = [a or b for a, b in zip(config["ks"], largest["ks"], strict=True)]
        theirs.set_active_subnet(ks=full["ks"], e=full["e"], d=config["d"])
        x = torch.randn(1, *net.space.input_shape(subnet))
        plain = theirs.get_active_subnet().eval()
        times = medians_ms(
            {
                "views_ms": lambda x=x: theirs(x),
                "extracted_ms": lambda x=x, plain=plain: plain(x),
            }
        )
        extraction = medians_ms({"e": lambda: theirs.get_active_subnet()}, 5)["e"]
        rows.append(
            {
                "space": "ofa package",
                "subnet": str(subnet),
                **{k: round(v, 4) for k, v in times.items()},
                "views_to_extracted": round(times["views_ms"] / times["extracted_ms"], 3),
                "extraction_ms": round(extraction, 3),
            }
        )
    return rows


def main() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    zoo = build_supernet(get_space("resnet-cifar")).eval()
    space: Any = get_space("ofa-mobilenetv3")
    mobile = build_supernet(replace(space, resolutions=(128, 176, 224))).eval()
    for net in (zoo, mobile):
        net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    rows = [*forward_rows(zoo), *forward_rows(mobile)]
    if importlib.util.find_spec("ofa"):
        rows += ofa_rows(mobile)
    else:
        print("the public ofa package is not installed: no rows of it")
    for row in rows:
        prepared = row.get("prepared_to_extracted", float("nan"))
        print(
            f"{row['space']:16} views {row['views_ms']:8.2f} ms  extracted "
            f"{row['extracted_ms']:8.2f}  x{row['views_to_extracted']:.2f}  prepared "
            f"x{prepared:.2f}  extraction {row['extraction_ms']:7.1f} ms"
        )
    described = {
        "command": "python benchmarks/switching.py",
        "host": f"{cpu_name()}, 1 thread (sandwich step: 2)",
        "torch": torch.__version__,
        "source": "measured",
        "switch": switch_row(zoo),
        "training": training_row(zoo),
        "rows": rows,
    }
    print(json.dumps({k: described[k] for k in ("switch", "training")}, indent=1))
    RESULTS.write_text(json.dumps(described, indent=1) + "\n")


if __name__ == "__main__":
    main()
