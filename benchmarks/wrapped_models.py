"""Which architectures `nas supernet wrap` takes, and whether what it makes of them is right.

Every network is built from timm's registry without weights (or below, by hand), with the
batch-norm statistics, scales and filters of different size that training leaves. Of each: the
largest subnet against the network, a random subnet against its plain copy, multiply-accumulates
against torch's own counter, the error of a group at half its width by both orders of importance
and without any, and channel groups against those of Torch-Pruning.

    python benchmarks/wrapped_models.py --out benchmarks/results/wrapped_models.json

needs timm, torchvision and torch-pruning; without timm the hand-written ones alone. A rerun goes
on.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from search_spaces import InputError, write_text
from supernets import calibrate, extract, load_dataset
from supernets.elastic import cached_norm
from supernets.traced import TracedSupernet, Wrapped
from tests.supernets.traced.networks import NETWORKS, timm_without_cuda

SIDE = 64
N_GROUPS = 6  # that are made narrow, one at a time
N_IMAGES = 48  # from which importance is found; a third as many others judge it
TORCHVISION = ("shufflenet_v2_x0_5", "mobilenet_v3_large", "googlenet")  # what timm has not
TIMM = (
    "resnet18",
    "resnet26d",
    "seresnet18",
    "resnext26ts",
    "resnetv2_18",
    "regnetx_002",
    "regnety_002",
    "mobilenetv2_050",
    "mobilenetv3_small_050",
    "efficientnet_b0",
    "efficientnet_lite0",
    "tf_efficientnet_b0",
    "mnasnet_small",
    "convnext_atto",
    "convnextv2_atto",
    "densenet121",
    "vgg11_bn",
    "repvgg_a0",
    "ghostnet_050",
    "ghostnetv2_100",
    "mobileone_s0",
    "mixnet_s",
    "tinynet_e",
    "lcnet_050",
    "hardcorenas_a",
    "fbnetc_100",
    "ese_vovnet19b_dw",
    "cspresnet50",
    "darknet53",
    "dla34",
    "res2net50_26w_4s",
    "hrnet_w18_small",
    "rexnet_100",
    "selecsls42",
    "mobilenetv4_conv_small",
    "skresnet18",
    "ecaresnet26t",
    "nf_resnet26",
    "edgenext_xx_small",
    "mobilevit_xxs",
    "vit_tiny_patch16_224",
    "mixer_s32_224",
)


@torch.no_grad()
def as_trained(net: nn.Module, images: Tensor) -> nn.Module:
    """Filters of different size, scales and shifts of their own, statistics of `images`."""
    generator = torch.Generator().manual_seed(0)
    norms = [m for m in net.modules() if isinstance(m, nn.BatchNorm2d)]
    for module in net.modules():
        if isinstance(module, nn.Conv2d) and module.out_channels >= 16:
            scale = torch.exp(0.5 * torch.randn(module.out_channels, generator=generator))
            module.weight.mul_(scale.view(-1, 1, 1, 1))
    for norm in norms:
        if norm.weight is not None:
            norm.weight.copy_(torch.rand(norm.num_features, generator=generator) * 1.6 + 0.2)
            norm.bias.copy_(torch.rand(norm.num_features, generator=generator) * 0.6 - 0.3)
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.train().momentum = 1.0
    if norms:
        net(images)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    return net.eval()


def digits(side: int) -> tuple[Tensor, Tensor]:
    """Images (N, 3, side, side) of scikit-learn's digits: of training, and others to judge by."""
    data = load_dataset(None)
    parts = []
    for part, n in ((data.train, N_IMAGES), (data.test, N_IMAGES // 3)):
        images = data.normalise(part.images[:n]).expand(-1, 3, -1, -1)
        parts.append(F.interpolate(images, (side, side), mode="bilinear").contiguous())
    return parts[0], parts[1]


def difference(found: Tensor, wanted: Tensor) -> float:
    """Largest difference, of the largest value."""
    return float((found - wanted).abs().max() / wanted.abs().max().clamp_min(1e-12))


def counted_macs(net: nn.Module, x: Tensor) -> int:
    """Of convolutions and matrices, by torch's counter."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter, torch.no_grad():
        net(x)
    return counter.get_total_flops() // 2


@torch.no_grad()
def checked(name: str, make: Callable[[], nn.Module], side: int) -> dict[str, Any]:
    """One row of the table."""
    torch.manual_seed(0)
    images, x = digits(side)
    net = as_trained(make().eval(), images[:16])
    start = time.perf_counter()
    try:
        found = Wrapped(net, 3, side, name=name)
        found.sort(images)
        supernet = found.supernet()
    except InputError as error:
        return {"name": name, "wrapped": False, "refused": str(error)}
    seconds = time.perf_counter() - start
    space = supernet.space
    wanted = net(x)
    wanted = wanted[0] if isinstance(wanted, list | tuple) else wanted
    random = space.subnet(space.sample(1, np.random.default_rng(0)))
    plain = extract(supernet, random)
    shared = supernet(x[:4], random)
    return {
        "name": name,
        "wrapped": True,
        "seconds": round(seconds, 2),
        "params": sum(p.numel() for p in net.parameters()),
        "width_genes": len(space.widths),
        "stages": len(space.depths),
        "blocks": len(space.blocks),
        "places": len(found.places),
        "subnets_log10": round(float(sum(np.log10(len(c)) for c in space.choices)), 1),
        "macs_largest": macs(supernet, space.largest),
        "macs_smallest": macs(supernet, space.smallest),
        "full_difference": difference(supernet(x, space.subnet(space.largest))[-1], wanted),
        "subnet_difference": max(
            difference(a, b) for a, b in zip(plain(x[:4]), shared, strict=True)
        ),
        "macs_ours": macs(supernet, space.genes([random])),
        "macs_torch": counted_macs(extract(supernet, random, heads=[space.n_exits]), x[:1]),
        **narrow(net, found, images, x),
        **grouped(net, found, x),
    }


def macs(supernet: TracedSupernet, genes: Any) -> int:
    space = supernet.space
    heads = np.zeros((1, space.n_exits + 1), dtype=bool)
    heads[0, -1] = True
    return int(space.operators(genes, heads).macs.sum())


def narrow(net: nn.Module, found: Wrapped, images: Tensor, x: Tensor) -> dict[str, Any]:
    """Squared error of the logits of `x`, of their variance, with one group at its narrowest.

    The mean over some groups, with the most important channels kept (by images, by the size of the
    filters) and with the first ones; statistics of norms are those of the subnet, as everywhere.
    """
    by_size, plain = (Wrapped(net, 3, x.shape[-1], name="other") for _ in range(2))
    by_size.sort()
    wanted, errors = net(x), {}
    wanted = wanted[0] if isinstance(wanted, list | tuple) else wanted
    for name, wrapped in (("images", found), ("size", by_size), ("last", plain)):
        supernet = wrapped.supernet([])
        space = supernet.space
        n = len(space.depths)
        chosen = np.unique(np.linspace(0, len(space.widths) - 1, N_GROUPS).astype(int))
        error = 0.0
        for k in chosen:
            genes = space.largest.copy()
            genes[:, n + k] = min(space.widths[k])
            subnet = space.subnet(space.canonical(genes))
            norm = cached_norm(calibrate(supernet, subnet, images[: len(x)]))
            logits = supernet(x, subnet, norm=norm)[-1]
            error += float((logits - wanted).square().mean() / wanted.var()) / len(chosen)
        errors[f"error_{name}"] = error
    return errors


def grouped(net: nn.Module, found: Wrapped, x: Tensor) -> dict[str, Any]:
    """How many of our groups cut the same layers as Torch-Pruning's for the same channels."""
    try:
        import torch_pruning as tp
    except ImportError:
        return {}
    ours = layers_of_groups(found)
    names = {module: name for name, module in net.named_modules()}
    with torch.enable_grad():
        try:
            graph = tp.DependencyGraph().build_dependency(net, example_inputs=x[:1])
        except Exception as error:  # theirs may fail where ours does not
            return {"torch_pruning": f"{type(error).__name__}: {error}"[:120]}
        same = compared = 0
        for first, group in ours.items():
            module = dict(net.named_modules()).get(first)
            if not isinstance(module, nn.Conv2d | nn.Linear):
                continue
            prune = (
                tp.prune_linear_out_channels
                if isinstance(module, nn.Linear)
                else (tp.prune_conv_out_channels)
            )
            try:
                theirs = graph.get_pruning_group(module, prune, idxs=[0])
            except Exception:  # a layer that they do not prune
                continue
            layers = {
                names[dep.target.module]
                for dep, channels in theirs
                if channels
                and dep.target.module in names
                and "out_channels" in dep.pruning_fn.__name__
                and isinstance(dep.target.module, nn.Conv2d | nn.Linear)
            }
            compared += 1
            same += layers == group
    return {"groups_compared": compared, "groups_same": same}


def layers_of_groups(found: Wrapped) -> dict[str, set[str]]:
    """The layers whose output every elastic group cuts, by the first of them."""
    members: dict[int, list[str]] = {}
    for axis in found.groups.axes:
        call = found.calls[axis.call]
        if axis.tensor == "weight" and axis.dim == 0 and call.kind in ("conv", "linear"):
            for one, _ in axis.spans:
                members.setdefault(found.groups.sets.root(one), []).append(call.name)
    return {names[0]: set(names) for root, names in members.items() if root in found.genes}


def table(rows: list[dict[str, Any]]) -> str:
    """The rows in Markdown, for docs/your-own-model.md."""
    lines = [
        "| network | width genes | blocks to leave out | places for exits | MMACs, from .. to "
        "| error of a group at half its width: by images, by filters, last cut "
        "| groups as Torch-Pruning |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in sorted(rows, key=lambda row: not row["wrapped"]):
        if not row["wrapped"]:
            lines.append(f"| {row['name']} | refused: {row['refused'].replace('|', ' ')} |||||| ")
            continue
        low, high = (row[key] / 1e6 for key in ("macs_smallest", "macs_largest"))
        theirs = f"{row['groups_same']} of {row['groups_compared']}" if "groups_same" in row else ""
        error = ", ".join(f"{row[f'error_{way}']:.2f}" for way in ("images", "size", "last"))
        cells = row["name"], row["width_genes"], row["blocks"], row["places"]
        lines.append(
            f"| {' | '.join(map(str, cells))} | {low:.1f} .. {high:.1f} | {error} | {theirs} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--only", nargs="*", help="These networks.")
    parser.add_argument("--table", action="store_true", help="Show what is there, in Markdown.")
    arguments = parser.parse_args()
    if arguments.table:
        print(table(json.loads(arguments.out.read_text())["rows"]))
        return
    makers: dict[str, Callable[[], nn.Module]] = {}
    try:
        timm = timm_without_cuda()
        for name in (n for n in TIMM if n in timm.list_models()):
            sized = {"img_size": SIDE} if name.endswith("_224") else {}
            makers[name] = partial(timm.create_model, name, num_classes=10, **sized)
        import torchvision

        for name in TORCHVISION:
            makers[f"torchvision: {name}"] = partial(
                torchvision.models.get_model, name, num_classes=10, weights=None
            )
        version = timm.__version__
    except ImportError:
        version = None
    makers |= {f"by hand: {name}": make for name, make in NETWORKS.items()}
    known: dict[str, Any] = {}
    if arguments.out.exists():
        known = {row["name"]: row for row in json.loads(arguments.out.read_text())["rows"]}
    for name, make in makers.items():
        if name not in (arguments.only or makers.keys() - known.keys()):
            continue
        known[name] = checked(name, make, SIDE if not name.startswith("by hand") else 16)
        print(known[name], flush=True)
        about = {
            "provenance": "measured",
            "what": "nas supernet wrap on networks with random weights",
            "side": SIDE,
            "timm": version,
            "torch": torch.__version__,
            "command": "python benchmarks/wrapped_models.py --out " + str(arguments.out),
        }
        rows = [row for row in (dict.fromkeys(makers) | known).values() if row]
        write_text(arguments.out, json.dumps({**about, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
