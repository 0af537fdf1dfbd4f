"""A foreign checkpoint as a supernet's folder: weights in our format and a card."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nas.files import check_new, new_folder
from nas.zoo.folder import STATISTICS, entry_folder, zoo_names
from nas.zoo.published import ENTRY, Entry, attach, read_entry
from search_spaces import InputError, OnceForAllSpace, Space, space_from_dict, write_text

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # as `ofa` normalises
IMAGENET_CLASSES = 1000


def import_ofa(
    source: str, out: Path, *, exits: Sequence[int], sha256: str | None, command: str
) -> tuple[Any, Entry | None]:
    """Write the once-for-all checkpoint `source` to the folder `out`.

    Returns the supernet, and the published accuracies that it was given: those of its own width and
    without early exits, unverified; None where there are none.

    `source` is a file or an official name in OFA's cache; `exits` are stages that get an early exit
    with new weights. InputError: `out` holds something, the checksum differs, the weights do not
    fit.
    """
    from supernets import attach_exits, load_ofa, locate, save_supernet
    from supernets import sha256 as checksum

    check_new(out)
    path = locate(source)
    found = checksum(path)
    if sha256 and found != sha256.lower():
        raise InputError(f"{path} has sha256 {found}, expected {sha256}; fetch it again")
    supernet = load_ofa(path)
    answered = _answers(supernet)
    if exits:
        supernet = attach_exits(supernet, exits)
    about: dict[str, Any] = {
        "dataset": "imagenet",
        "mean": IMAGENET_MEAN,
        "std": IMAGENET_STD,
        "source": path.name,
        "source_sha256": found,
        "license": "MIT (github.com/mit-han-lab/once-for-all)",
        "command": command,
    }
    space = supernet.space
    assert isinstance(space, OnceForAllSpace)
    if space.n_classes == IMAGENET_CLASSES:
        about["data"] = _imagenet(max(space.resolutions))
    checks = [*(["the sha256 is the one that was asked for"] if sha256 else []), answered]
    with new_folder(out) as aside:
        save_supernet(supernet, aside / "weights.safetensors", **about)
        published = _published(supernet.space)
        entry = None if published is None else attach(published, aside)
        if space.only:
            _keep_statistics(supernet, aside)
        write_text(aside / "card.md", _card(out.resolve().name, supernet, about, checks, entry))
    return supernet, entry


def _keep_statistics(supernet: Any, folder: Path) -> None:
    """Batch-norm statistics of a specialised network as those that ship: they are its own."""
    from supernets import sha256, write_bn_cache

    own = {key: (layer.running_mean, layer.running_var) for key, layer in supernet.norms()}
    subnet = supernet.space.subnet(supernet.space.largest)
    write_bn_cache(
        folder / STATISTICS, supernet, {subnet: own}, sha256(folder / "weights.safetensors")
    )


def _imagenet(side: int) -> dict[str, Any]:
    """The images that the weights were trained on, as a checkpoint describes them."""
    from supernets.data import synsets

    return {
        "name": "imagenet",
        "format": "imagenet",
        "classes": list(synsets()),
        "resolution": side,
        "channels": 3,
        "mean": IMAGENET_MEAN,
        "std": IMAGENET_STD,
        "flip": True,
        "n_images": {},
        "drawn": [],
    }


def _published(space: Space) -> Path | None:
    """The zoo's entry whose accuracies are of this space, at some of its resolutions."""
    for folder in map(entry_folder, zoo_names()):
        if not (folder / ENTRY).exists():
            continue
        own = space_from_dict(read_entry(folder).space)
        if not isinstance(own, OnceForAllSpace) or not isinstance(space, OnceForAllSpace):
            continue
        if space.with_resolutions(own.resolutions) == own:
            return folder
    return None


def _answers(supernet: Any) -> str:
    """Runs the largest and the smallest subnet on noise; InputError where they break."""
    import torch

    space = supernet.space
    noise = torch.Generator().manual_seed(0)
    for genes in (space.largest, space.smallest):
        subnet = space.subnet(genes)
        with torch.inference_mode():
            logits = supernet(torch.randn(1, *space.input_shape(subnet), generator=noise), subnet)
        if not logits[-1].isfinite().all():
            raise InputError(f"{subnet} of the imported weights answers with infinite logits")
    return "the largest and the smallest subnet answer noise with finite logits"


def _card(
    name: str, supernet: Any, about: dict[str, Any], checks: list[str], entry: Entry | None
) -> str:
    """The model card in Markdown."""
    space = supernet.space
    n_params = sum(parameter.numel() for parameter in supernet.parameters())
    known = "Accuracy was not measured."
    if entry is not None:
        known = (
            f"Accuracy was not measured: `accuracy.csv` is {entry.accuracies()}. "
            f"`nas search --supernet {name} --data IMAGENET` runs the points on images."
        )
    kind, statistics = (
        ("Weight-sharing supernet of the space", "recalibrate them for every subnet before use")
        if not space.only
        else ("One specialised network, the space", "they are the network's own (`bn.safetensors`)")
    )
    exits = f"behind stages {', '.join(map(str, space.exits))}, **not trained**"
    lines = [
        f"# {name}",
        "",
        f"{kind} `{space.name}`, imported; nothing was trained here.",
        "",
        f"- source: once-for-all (Cai et al., 2020, arXiv:1908.09791), file `{about['source']}`",
        f"- source sha256 `{about['source_sha256']}`",
        f"- licence of the weights: {about['license']}",
        f"- data set: ImageNet, {space.n_classes} classes",
        f"- parameters: {n_params:,}",
        f"- early exits: {exits if space.exits else 'none'}",
        f"- imported by `{about['command']}`",
        "",
        "## Checks",
        "",
        "- the file holds tensors alone and was read without executing anything in it",
        "- no key is missing or unexpected, every shape is the space's, every value is finite",
        *(f"- {check}" for check in checks),
        "",
        f"{known} The batch-norm statistics are those of the file: {statistics}.",
        "",
    ]
    return "\n".join(lines)
