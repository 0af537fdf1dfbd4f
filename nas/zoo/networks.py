"""Trained networks of a user: what her code returns, a network of timm, weights of a file."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.zoo.folder import OF_ONNX
from search_spaces import InputError

if TYPE_CHECKING:
    from torch import nn

    from supernets import Dataset


PICKLED = (".pt", ".pth", ".bin", ".ckpt")


@dataclass(frozen=True)
class Network:
    """A trained network and how its images were normalised, where that is known."""

    net: nn.Module
    name: str
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None


def own_network(source: str) -> Network:
    """What `FILE.py:FUNCTION` or `MODULE:FUNCTION` returns; runs the user's code."""
    from supernets import bare

    if source.endswith(".onnx"):
        raise InputError(f"{source}: {OF_ONNX}")
    place, _, function = source.rpartition(":")
    if not place or not function.isidentifier():
        raise InputError(
            f"{source!r} must be FILE.py:FUNCTION or MODULE:FUNCTION, where FUNCTION returns a "
            "torch network"
        )
    file = Path(place) if place.endswith(".py") else None
    if file and not file.is_file():
        raise InputError(f"{file} does not exist")
    beside = "" if file is None else str(file.resolve().parent)  # what the file itself imports
    sys.path.insert(0, beside)
    try:
        module = importlib.import_module(place) if file is None else _loaded(file)
        net = getattr(module, function)()
    except (Exception, SystemExit) as error:  # whatever the user's code raises
        told = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        raise InputError(f"{source} makes no network: {told}") from None
    finally:
        if beside in sys.path:  # the user's code may have changed it
            sys.path.remove(beside)
    bare_net = bare(net, f"what {source} returns")
    return Network(bare_net, function if function != "build" else Path(place).stem)


def _loaded(file: Path) -> Any:
    name = file.stem if file.stem not in sys.modules else f"_{file.stem}"  # no library's place
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def timm_network(name: str, n_classes: int, in_channels: int) -> Network:
    """A network of timm's registry, with initial weights; nothing is fetched."""
    try:
        import timm
        import torch
    except (ImportError, RuntimeError) as error:  # torchvision may be one for another torch
        raise InputError(
            f"networks of timm need the package timm, which does not import ({error}): "
            "pip install 'nas[timm]'"
        ) from None
    if name not in timm.list_models():
        near = timm.list_models(f"*{name[:6]}*")[:3]
        raise InputError(f"timm has no network {name!r}; there are {', '.join(near) or 'others'}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # the same network whenever it is asked for
        net = timm.create_model(name, num_classes=n_classes, in_chans=in_channels)
    known = net.pretrained_cfg
    found = Network(net, name.replace(".", "-"))
    if len(known["mean"]) == in_channels:
        found = replace(found, mean=tuple(known["mean"]), std=tuple(known["std"]))
    return found


def normalised(data: Dataset, mean: Sequence[float] | None, std: Sequence[float] | None) -> Dataset:
    """`data` with the normalisation that a network was trained with, one number per channel.

    Without both it keeps its own. InputError: one of both alone, or numbers that are no such.
    """
    if mean is None and std is None:
        return data
    if mean is None or std is None:
        raise InputError("`mean` and `std` go together: give both")
    for name, values in (("mean", mean), ("std", std)):
        if not isinstance(values, Sequence):
            raise InputError(f"`{name}` must be a list of one number per channel, got {values!r}")
        if len(values) != data.channels or not all(map(isfinite, values)):
            told = ",".join(f"{value:g}" for value in values)
            raise InputError(
                f"`{name}` must be one number per channel, {data.channels} for {data.name}, "
                f"got {told}"
            )
    if min(std) <= 0:
        raise InputError(f"`std` must be positive, got {min(std):g}")
    return replace(data, mean=tuple(mean), std=tuple(std))


def with_weights(network: Network, path: Path) -> Network:
    """With the weights of a safetensors file; InputError where they do not fit."""
    from safetensors import SafetensorError
    from safetensors.torch import load

    from search_spaces import read_tensor_file

    if not path.is_file():
        raise InputError(f"{path} does not exist")
    if path.suffix in PICKLED:
        raise InputError(
            f"{path} is a pickle, which could run code and is not read: write its weights with "
            "safetensors.torch.save_file(net.state_dict(), FILE)"
        )
    try:
        tensors = load(read_tensor_file(path))
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path} cannot be read: {' '.join(str(error).split())[:200]}") from None
    own = network.net.state_dict()
    front = _front(own, tensors)
    tensors = {name.removeprefix(front): tensor for name, tensor in tensors.items()}
    both = own.keys() & tensors.keys()
    faults = {
        # some files leave out how many batches a norm has seen
        "it lacks": [k for k in own.keys() - both if not k.endswith("_batches_tracked")],
        "the network has no": tensors.keys() - both,
        "of another shape is": [k for k in both if own[k].shape != tensors[k].shape],
        "of another type is": [
            k for k in both if own[k].is_floating_point() != tensors[k].is_floating_point()
        ],
    }
    told = [f"{fault} {_few(sorted(names))}" for fault, names in faults.items() if names]
    if told:
        raise InputError(f"{path} does not fit {network.name}: {'; '.join(told)}")
    network.net.load_state_dict(tensors, strict=False)
    return network


def _front(own: Iterable[str], found: Iterable[str]) -> str:
    """What wrappers put before every name, as `module.` of DataParallel or `_orig_mod.`."""
    first = next(iter(own), "")
    if first in (names := list(found)):
        return ""
    return next((n.removesuffix(first) for n in names if n.endswith(f".{first}")), "")


def _few(names: Sequence[str]) -> str:
    return names[0] + (f" and {len(names) - 1} more" if len(names) > 1 else "")
