"""A torch network of the user as a supernet's folder: weights in our format and a card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from nas.files import check_new, new_folder
from nas.zoo.networks import Network, normalised
from search_spaces import InputError, write_text

if TYPE_CHECKING:
    from torch import nn

    from supernets import Dataset
    from supernets.traced import Place, TracedSupernet

ORDERS = ("taylor", "l2", "none")
MIN_SHOWN = 0.005  # of all work: an exit before that is no place worth a line
N_IMAGES = 256  # that the order by Taylor looks at, and others that the network is tried on


class Made(NamedTuple):
    """A wrapped network, where it can be left early, and how many images it is right about."""

    supernet: TracedSupernet
    places: Sequence[Place]
    right: int
    images: int


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
    check_new(out)
    wrapped = Wrapped(network.net, dataset.channels, dataset.resolution, name=network.name)
    if wrapped.n_classes != dataset.n_classes:
        raise InputError(
            f"{wrapped.calls[-1].name} of {network.name} tells {wrapped.n_classes} classes apart, "
            f"`data` has {dataset.n_classes}; give the images that it was trained on, or replace "
            "its last layer and train it"
        )
    dataset = normalised(dataset, network.mean, network.std)
    if order != "none":
        images = dataset.normalise(dataset.train.images[:N_IMAGES]) if order == "taylor" else None
        wrapped.sort(images)
    with torch.random.fork_rng(devices=[]):
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

    with new_folder(out) as aside:
        save_supernet(made.supernet, aside / "weights.safetensors", **about)
        write_text(aside / "card.md", card(out.resolve().name, made, about))


def card(name: str, made: Made, about: Mapping[str, Any]) -> str:
    """What was found in the network, in Markdown."""
    supernet, space = made.supernet, made.supernet.space
    shown = [k for k, p in enumerate(made.places) if p.share >= MIN_SHOWN or p.node in space.exits]
    hidden = len(made.places) - len(shown)
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
            for k, p in ((k, made.places[k]) for k in shown)
        ),
        "",
        *(
            [f"{hidden} more, before any work worth speaking of, are not shown.", ""]
            if hidden
            else []
        ),
        "Early exits have new weights until they are trained.",
        "",
    ]
    return "\n".join(lines)
