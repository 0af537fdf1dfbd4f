"""A torch network of the user as a supernet's folder: weights in our format and a card."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from nas.files import prepare_folder
from search_spaces import InputError, write_text

if TYPE_CHECKING:
    from torch import nn

    from supernets import Dataset
    from supernets.traced import Place, TracedSupernet

ORDERS = ("taylor", "l2", "none")
N_IMAGES = 256  # that the order by Taylor looks at, and others that the network is tried on


@dataclass(frozen=True)
class Network:
    """A trained network and how its images were normalised, where that is known."""

    net: nn.Module
    name: str
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None


class Made(NamedTuple):
    """A wrapped network, where it can be left early, and how many images it is right about."""

    supernet: TracedSupernet
    places: Sequence[Place]
    right: int
    images: int


def own_network(source: str) -> Network:
    """What `FILE.py:FUNCTION` or `MODULE:FUNCTION` returns; runs the user's code."""
    place, _, function = source.rpartition(":")
    if not place or not function.isidentifier():
        raise InputError(
            f"`network` must be FILE.py:FUNCTION, where FUNCTION returns a torch network; got "
            f"{source!r}"
        )
    sys.path.insert(0, "")
    try:
        module = _file(Path(place)) if place.endswith(".py") else importlib.import_module(place)
        net = getattr(module, function)()
    except InputError:
        raise
    except (Exception, SystemExit) as error:  # whatever the user's code raises
        told = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        raise InputError(f"{source} makes no network: {told}") from None
    finally:
        sys.path.remove("")
    return Network(_checked(net, source), function if function != "build" else Path(place).stem)


def _file(path: Path) -> Any:
    if not path.is_file():
        raise InputError(f"{path} does not exist")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def _checked(net: Any, source: str) -> nn.Module:
    from torch import nn

    if not isinstance(net, nn.Module):
        raise InputError(f"{source} returns a {type(net).__name__}, not a torch network")
    return net


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
    torch.manual_seed(0)  # the same network whenever it is asked for
    net = timm.create_model(name, num_classes=n_classes, in_chans=in_channels)
    known = net.pretrained_cfg
    found = Network(net, name.replace(".", "-"))
    if len(known["mean"]) == in_channels:
        found = replace(found, mean=tuple(known["mean"]), std=tuple(known["std"]))
    return found


def with_weights(network: Network, path: Path) -> Network:
    """With the weights of a safetensors file; InputError where they do not fit."""
    from safetensors import SafetensorError
    from safetensors.torch import load

    from search_spaces import read_tensor_file

    if not path.is_file():
        raise InputError(f"{path} does not exist")
    try:
        tensors = load(read_tensor_file(path))
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path} cannot be read: {' '.join(str(error).split())[:200]}") from None
    own = network.net.state_dict()
    inner = {name.partition(".")[2]: tensor for name, tensor in tensors.items()}
    if not own.keys() & tensors.keys() and own.keys() & inner.keys():
        tensors = inner  # behind one wrapper, as `module.` of DataParallel
    both = own.keys() & tensors.keys()
    faults = {
        # some files leave out how many batches a norm has seen
        "it lacks": [k for k in own.keys() - both if not k.endswith("_batches_tracked")],
        "the network has no": tensors.keys() - both,
        "of another shape is": [k for k in both if own[k].shape != tensors[k].shape],
    }
    told = [f"{fault} {_few(sorted(names))}" for fault, names in faults.items() if names]
    if told:
        raise InputError(f"{path} does not fit {network.name}: {'; '.join(told)}")
    network.net.load_state_dict(tensors, strict=False)
    return network


def _few(names: Sequence[str]) -> str:
    return names[0] + (f" and {len(names) - 1} more" if len(names) > 1 else "")


def wrap_folder(
    network: Network,
    dataset: Dataset,
    out: Path,
    *,
    exits: Sequence[int] | None,
    order: str,
    command: str,
) -> Made:
    """Write the supernet of a trained network to the new folder `out`.

    InputError: `out` holds something, the classes are others, the network cannot be wrapped.
    """
    import torch

    from supernets.traced import Wrapped

    if order not in ORDERS:
        raise InputError(f"`order` must be one of {', '.join(ORDERS)}, got {order!r}")
    if out.exists() and (out.is_file() or any(out.iterdir())):
        raise InputError(f"{out} is there already; choose another `out`")
    wrapped = Wrapped(network.net, dataset.channels, dataset.resolution, name=network.name)
    if wrapped.n_classes != dataset.n_classes:
        raise InputError(
            f"{wrapped.calls[-1].name} of {network.name} tells {wrapped.n_classes} classes apart, "
            f"`data` has {dataset.n_classes}; give the images that it was trained on, or replace "
            "its last layer and train it"
        )
    if network.mean is not None and network.std is not None:
        dataset = replace(dataset, mean=network.mean, std=network.std)
    if order != "none":
        images = dataset.normalise(dataset.train.images[:N_IMAGES]) if order == "taylor" else None
        wrapped.sort(images)
    torch.manual_seed(0)  # early exits begin alike whenever the command is given
    supernet = wrapped.supernet(exits)
    about = {
        "dataset": dataset.name,
        "data": dataset.describe(),
        "source": network.name,
        "order": order,
        "command": command,
    }
    made = Made(supernet, wrapped.places, *_right(network.net, dataset))
    _write(made, out, about)
    return made


def _right(net: nn.Module, dataset: Dataset) -> tuple[int, int]:
    """How many of some validation images the network is right about, and how many they are."""
    import torch

    images = dataset.normalise(dataset.validation.images[:N_IMAGES])
    labels = dataset.validation.labels[:N_IMAGES]
    with torch.inference_mode():
        made = [net.eval()(x) for x in torch.split(images, 32)]
    logits = torch.cat([x[0] if isinstance(x, list | tuple) else x for x in made])
    return int((logits.argmax(dim=1) == labels).sum()), len(labels)


def _write(made: Made, out: Path, about: Mapping[str, Any]) -> None:
    from supernets import save_supernet

    out = out.resolve()
    aside = out.with_name(out.name + ".tmp")
    shutil.rmtree(aside, ignore_errors=True)
    prepare_folder(aside)
    try:
        save_supernet(made.supernet, aside / "weights.safetensors", **about)
        write_text(aside / "card.md", card(out.name, made, about))
        if out.exists():
            out.rmdir()
        os.replace(aside, out)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def card(name: str, made: Made, about: Mapping[str, Any]) -> str:
    """What was found in the network, in Markdown."""
    supernet, space = made.supernet, made.supernet.space
    lines = [
        f"# {name}",
        "",
        f"Weight-sharing supernet of the space `{space.name}`: the network `{about['source']}`, "
        "wrapped; nothing was trained here.",
        "",
        f"- images: {about['dataset']}, {space.in_channels}x{space.resolution}x{space.resolution}, "
        f"{space.n_classes} classes",
        f"- right about {made.right} of {made.images} validation images, as the network itself",
        f"- parameters: {sum(p.numel() for p in supernet.parameters()):,}",
        f"- elastic groups of channels: {len(space.widths)}, in order of importance "
        f"({about['order']})",
        f"- stages of residual blocks that can be left out: {len(space.depths)}, with "
        f"{len(space.blocks)} blocks",
        f"- made by `{about['command']}`",
        "",
        "## Places for exits",
        "",
        "| place | behind | share of the work | exit |",
        "|---|---|---|---|",
        *(
            f"| {k} | `{space.nodes[p.node].name}` | {p.share:.0%} "
            f"| {'yes' if p.node in space.exits else ''} |"
            for k, p in enumerate(made.places)
        ),
        "",
        "Early exits have new weights until they are trained.",
        "",
    ]
    return "\n".join(lines)
