"""A network pruned in blocks as a folder: weights, packed layers, and what it lost and gained."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.files import prepare_folder
from nas.pareto.provenance import MEASURED
from nas.zoo.folder import matching_dataset, supernet_folder
from nas.zoo.networks import normalised, own_network
from search_spaces import InputError, Subnet, json_object, read_text, write_text

if TYPE_CHECKING:
    from torch import nn

    from supernets import Dataset, Supernet
    from supernets.pruning import PruneSettings
    from supernets.training import Progress

SCHEMA = "nas.pruned/1"
N_TIMED = 30


def named_network(
    name: str,
    subnet: str | None,
    data: Path | None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> tuple[nn.Module, Dataset]:
    """The network `name` and its images.

    `name` is a supernet (zoo name or folder), of which `subnet` is taken, the largest for None, or
    `FILE.py:FUNCTION` or `MODULE:FUNCTION`, where the function returns a trained torch network.
    `mean` and `std` are how images were normalised for it; a supernet says so itself. Batch norm
    of a subnet has its own statistics, measured on training images where the file has others.
    """
    from supernets import calibrate, calibration_images, extract, load_dataset

    if ":" in name:
        return _own(name, subnet), normalised(load_dataset(data), mean, std)
    if mean is not None or std is not None:
        raise InputError(f"{name} says itself how images are normalised: leave out `mean`, `std`")
    supernet, chosen, metadata = _subnet(name, subnet)
    images, statistics = matching_dataset(metadata, data), None
    images = images.resized(supernet.space.input_shape(chosen)[1])  # the subnet's own side
    if supernet.widest(chosen) not in supernet.with_own_norms():
        statistics = calibrate(supernet, chosen, calibration_images(images))
    last = [supernet.space.n_exits]
    return extract(supernet, chosen, heads=last, statistics=statistics), images


def _own(name: str, subnet: str | None) -> nn.Module:
    if subnet is not None:
        raise InputError(f"`subnet` is a part of a supernet, and {name} is a network")
    return own_network(name).net


def _subnet(name: str, subnet: str | None) -> tuple[Supernet, Subnet, dict[str, Any]]:
    """A supernet, the subnet of it that is meant, and what its checkpoint says."""
    from supernets import load_supernet

    try:
        folder = supernet_folder(name)
    except InputError as error:
        raise InputError(f"{error}; or give FILE.py:FUNCTION, a torch network of yours") from None
    supernet, metadata = load_supernet(folder / "weights.safetensors")
    space = supernet.space
    chosen = space.subnet(space.largest) if subnet is None else space.parse(subnet)
    return supernet, chosen, metadata


def prune_folder(
    net: nn.Module,
    data: Dataset,
    settings: PruneSettings,
    out: Path,
    *,
    name: str | None,
    subnet: str | None = None,
    command: str = "",
) -> Iterator[Progress]:
    """Prune `net` while it is trained on `data`, and write `out`; a rerun goes on where it stopped.

    `pruned.json` says the accuracy on the test images and the time of one image, before and after,
    measured here on one thread. After is as an exported folder runs it, and beside it with kernels
    in torch, which is all there is where a layer has no kernel (`after_is`). `name` is what
    `named_network` makes `net` of again, None where nothing does.
    """
    from supernets.kernels import PackedConv2d, c_source, pack_network, write_packed
    from supernets.pruning import STATE, PruningRun, top1

    if (out / "weights.safetensors").exists() and not (out / STATE).exists():
        raise InputError(f"{out} holds weights of something else; choose another `out`")
    prepare_folder(out)
    settings = replace(settings, g=settings.block)  # single weights are blocks of one
    chosen, whole = _check(net, data, settings)
    before = top1(net, data.test, data)
    run = PruningRun(net, data, settings, out, chosen)
    assert run.pruner is not None
    yield from run.run()
    net.eval()
    packed = pack_network(net, run.pruner.starts, settings.g)
    layers = {n: m.packed for n, m in packed.named_modules() if isinstance(m, PackedConv2d)}
    layers = {n: p for n, p in layers.items() if n in run.pruner.starts}
    about = {"net": name, "subnet": subnet, "command": command, "settings": asdict(settings)}
    write_packed(out / "packed.safetensors", layers, about)
    write_text(out / "kernel.c", c_source(settings.block))
    latencies = _latencies(net, packed, settings.block, data)
    told = {
        **about,
        "data": data.name,
        "n_test_images": len(data.test),
        "provenance": MEASURED,
        "top1_pct_before": round(before, 2),
        "top1_pct_after": round(top1(packed, data.test, data), 2),
        **latencies,
        "longest_mask_step_share_of_epoch": round(run.mask_share, 5),
        "layers": {
            n: {"sparsity": round(p.sparsity, 5), "bytes": p.n_bytes} for n, p in layers.items()
        },
        "left_whole": whole,
    }
    run.write_weights(out / "weights.safetensors", {**told, "images": data.describe()})
    write_text(out / "pruned.json", json.dumps({"schema": SCHEMA, **told}, indent=1) + "\n")


def _check(
    net: nn.Module, data: Dataset, settings: PruneSettings
) -> tuple[list[str], dict[str, str]]:
    """The convolutions to prune, and why others stay whole, by name: no kernel computes those.

    Only those that an answer needs, not those of training alone. InputError, before anything is
    trained: nothing can be packed, or what cannot be pruned or fits no image.
    """
    import torch

    from supernets.kernels import check_called, check_packable, pack_network
    from supernets.pruning import last_logits, prunable

    if not 0 < settings.sparsity < 1:
        raise InputError(f"`sparsity` must be above 0 and under 1, got {settings.sparsity}")
    traced = pack_network(net, {}, settings.g)
    used = [str(node.target) for node in traced.graph.nodes]
    convolutions = {
        name: conv
        for name, conv in prunable(net, settings.g).items()
        if any(target == name or target.startswith(f"{name}.") for target in used)
    }
    whole: dict[str, str] = {}
    for name, conv in list(convolutions.items()):
        try:
            check_packable(name, conv)
        except InputError as error:
            whole[name] = str(error).removeprefix(f"{name}: ")
            del convolutions[name]
    if whole and not convolutions:
        name, why = next(iter(whole.items()))
        raise InputError(f"{name}: {why}")
    check_called(traced, convolutions, type(net).__name__)
    data.held_out("test")
    images = data.normalise(data.train.images[:2])
    try:
        with torch.no_grad():
            answers = last_logits(net.eval(), images)
    except Exception as error:  # whatever the user's code raises
        shape = tuple(images.shape[1:])
        reason = " ".join(str(error).split())[:160]
        raise InputError(f"the network does not take images of {shape}: {reason}") from None
    found = getattr(answers, "shape", ())  # a dictionary has none
    if found != (2, data.n_classes):
        told = f"{tuple(found[1:])} numbers" if found else f"a {type(answers).__name__}"
        raise InputError(
            f"the network answers {told}, and {data.name} has {data.n_classes} classes"
        )
    return list(convolutions), whole


def pruned_network(folder: Path) -> tuple[nn.Module, dict[str, Any]]:
    """The network that `prune_folder` wrote, in eval mode, and what it said of it.

    CheckpointError: its weights are damaged; InputError: what makes the network is not found.
    """
    from supernets import extract, read_tensors
    from supernets.pruning import WEIGHTS

    path = folder / "weights.safetensors"
    tensors, about = read_tensors(path, WEIGHTS)
    if "images" not in about:
        raise InputError(f"{path} was written by an earlier version: run `nas prune` again")
    if about["net"] is None:
        raise InputError(
            f"{folder} was pruned from a network that was handed over in Python, so nothing here "
            "makes it again: prune FILE.py:FUNCTION instead"
        )
    name, subnet = about["net"], about["subnet"]
    if ":" in name:
        net = _own(name, subnet)
    else:
        supernet, chosen, _ = _subnet(name, subnet)
        net = extract(supernet, chosen, heads=[supernet.space.n_exits])
    try:
        net.load_state_dict(tensors)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"{path} does not fit {about['net']}: {reason}") from None
    return net.eval(), about


def read_pruned(out: Path) -> dict[str, Any]:
    """What `prune_folder` found."""
    path = out / "pruned.json"
    return json_object(read_text(path), path)


def _latencies(net: nn.Module, packed: nn.Module, g: int, data: Dataset) -> dict[str, Any]:
    """Before and after, and what ran after, for one image on one thread."""
    times = _times_ms(net, packed, g, data)
    return {
        "latency_ms_before": times["dense"],
        "latency_ms_after": times.get("exported", times["in_torch"]),
        "latency_ms_after_in_torch": times["in_torch"],
        "after_is": "exported" if "exported" in times else "in_torch",
        "threads": 1,
        "batch": 1,
    }


def _times_ms(net: nn.Module, packed: nn.Module, g: int, data: Dataset) -> dict[str, float]:
    """Medians for one image on one thread, in turn, by what ran.

    `dense` and folded in torch, `in_torch` with kernels, and `exported` where all layers have one.
    """
    import torch

    from nas.devices.backends.kernels import program_session
    from nas.devices.backends.pytorch import inference
    from supernets.kernels import pack_network

    image = data.normalise(data.test.images[:1])
    dense = pack_network(net, {}, 1, kernels=False).to(memory_format=torch.channels_last)
    last = image.contiguous(memory_format=torch.channels_last)
    runs: dict[str, Callable[[], object]] = {
        "dense": lambda: dense(last),
        "in_torch": lambda: packed(image),
    }
    with suppress(InputError):  # a layer without a kernel, or no kernels here
        session, given = program_session(net, tuple(image.shape[1:]), g), {"input": image.numpy()}
        runs["exported"] = lambda: session.run(None, given)
    times: dict[str, list[float]] = {name: [] for name in runs}
    with inference(threads=1):
        for i in range(N_TIMED + 3):
            for name, run in runs.items():
                start = time.perf_counter()
                run()
                if i >= 3:
                    times[name].append(1e3 * (time.perf_counter() - start))
    return {name: round(statistics.median(found), 4) for name, found in times.items()}
