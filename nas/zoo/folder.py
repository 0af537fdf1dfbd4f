"""A supernet's folder: where it is found, and how weights become a folder that can be searched.

weights.safetensors    trained weights, space, data set, settings
accuracy.safetensors   `nas.accuracy/1`: error and exit rates of evaluated subnets
predictor/             the same for subnets never evaluated
bn.safetensors         where it ships: batch-norm statistics of many subnets
card.md                what a person wants to know first
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nas.files import LOCK, held
from nas.zoo.card import card, named_accuracies
from nas.zoo.published import ENTRY, TABLE, WEIGHTS, read_entry
from search_spaces import ExitPolicy, InputError, PolicyGrid, Space, Subnet, read_text, write_text
from search_spaces.checkpoint import read_checkpoint

if TYPE_CHECKING:
    from predictors import AccuracyTable
    from supernets import Dataset
    from supernets.data import Listener

DEFAULT = "resnet-cifar10"

DIGITS, IMAGES = "digits", "IMAGES"  # what comes without `--data`, and what stands for a folder

OF_ONNX = (
    "a torch network is needed, not its ONNX file; `nas supernet wrap FILE.py:FUNCTION` takes one"
)

STATISTICS = "bn.safetensors"  # of batch norm, of the subnets of default searches

BLOCK = 128  # subnets that are drawn together


def zoo_names() -> list[str]:
    """Names of the supernets that ship with the project."""
    zoo = _zoo()
    return sorted(p.name for p in zoo.iterdir() if p.is_dir()) if zoo.is_dir() else []


def ships_statistics(name: str) -> bool:
    """Whether the zoo has batch-norm statistics of `name`, so that an export needs no images."""
    return name in zoo_names() and (_zoo() / name / STATISTICS).exists()


def supernet_folder(name: str) -> Path:
    """The folder of the supernet `name`, with weights: one of the zoo, `auto`, or a path."""
    folder = entry_folder(name)
    if not (folder / WEIGHTS).exists():
        raise InputError(_without_weights(name, folder))
    return folder


def entry_folder(name: str) -> Path:
    """The folder of `name` that can be searched: one with weights first, else a table alone."""
    folders = _zoo() / (DEFAULT if name == "auto" else name), Path(name)
    for file in (WEIGHTS, ENTRY):
        for folder in folders:
            if (folder / file).exists():
                return folder
    if Path(name).name in (WEIGHTS, ENTRY) and Path(name).is_file():
        raise InputError(f"{name} is a file of a supernet; give its folder, {Path(name).parent}")
    if other := _other_network(name):
        raise InputError(f"{name} is no supernet: {other}")
    raise InputError(
        f"no supernet {name!r}: it is neither in the zoo ({', '.join(zoo_names()) or 'empty'}) nor "
        "a folder with weights.safetensors; `nas supernet train --out DIR` makes one"
    )


def _other_network(name: str) -> str:
    """What to do with a network of another kind that was given as a supernet."""
    file, _, function = name.partition(":")
    if file.endswith(".onnx"):
        return OF_ONNX
    if not file.endswith(".py"):
        return ""
    source = f"{file}:{function or 'FUNCTION'}"
    return f"`nas supernet wrap {source} --out DIR` makes one of a trained torch network"


def entry_name(folder: Path) -> str:
    """What finds `folder` again: its name in the zoo, else its path."""
    return folder.name if folder.parent == _zoo() else str(folder)


def folder_table(folder: Path, space: Space) -> AccuracyTable:
    """The accuracies in a supernet's folder. InputError: there are none."""
    from predictors import read_accuracy_table

    if (folder / ENTRY).exists():
        return read_accuracy_table(folder / TABLE, space)
    path = folder / "accuracy.safetensors"
    if not path.exists():
        raise InputError(
            f"{folder} holds weights without accuracies: `nas {' '.join(to_evaluate(folder))}` "
            "measures them"
        )
    return read_accuracy_table(path, space)


def is_evaluated(folder: Path) -> bool:
    """Whether the accuracies of a supernet's folder are known to the end."""
    return (folder / "predictor").exists() or (folder / ENTRY).exists()


def to_evaluate(folder: Path) -> list[str]:
    """The command that measures accuracies of the weights in `folder`, behind `nas`."""
    dataset = read_checkpoint(folder / WEIGHTS)[1].get("dataset")  # weights from Python name none
    images = [] if dataset == DIGITS else ["--data", IMAGES]
    return ["supernet", "evaluate", str(folder), *images]


def _without_weights(name: str, folder: Path) -> str:
    """What to say of an entry that is a table alone."""
    entry = read_entry(folder)
    told = f"{name} is a table of published accuracies, it has no weights"
    if entry.checkpoint is None:
        return f"{told}: it can be searched, not run"
    return (
        f"{told}: `nas supernet import {entry.checkpoint} --out DIR` makes a folder with them; "
        "give that folder instead"
    )


def _zoo() -> Path:
    supernets = find_spec("supernets")  # where it lies; to import it would load torch
    assert supernets is not None
    assert supernets.submodule_search_locations
    return Path(supernets.submodule_search_locations[0]) / "zoo"


def evaluate_folder(
    folder: Path,
    data: Path | None,
    *,
    n_subnets: int,
    seed: int,
    command: str,
    overwrite: bool = False,
    listener: Listener | None = None,
) -> Iterator[tuple[int, int]]:
    """Evaluate `n_subnets` on the validation split, fit the predictor, write the card.

    Yields (done, all); a rerun goes on where a killed one stopped, and more subnets extend the
    table. InputError: the table is of other weights or images, and `overwrite` does not say to
    replace it; or another process trains or evaluates there. `listener` hears how many images were
    read.
    """
    if seed < 0:
        raise InputError(f"`seed` must be 0 or more, got {seed}")
    weights = folder / WEIGHTS
    if not weights.exists() and str(folder) in zoo_names():
        raise InputError(f"{folder} of the zoo is evaluated already; a copy of its folder can be")
    if not weights.exists():
        raise InputError(f"{folder} holds no {WEIGHTS}; `nas supernet train --out DIR` makes one")
    lock = folder / LOCK
    locked = lock.exists()
    with held(lock, f"another training or evaluation is running in {folder}; wait for it"):
        try:
            yield from _evaluated(folder, data, n_subnets, seed, command, overwrite, listener)
        finally:
            if not locked:
                lock.unlink(missing_ok=True)


def _evaluated(
    folder: Path,
    data: Path | None,
    n_subnets: int,
    seed: int,
    command: str,
    overwrite: bool,
    listener: Listener | None,
) -> Iterator[tuple[int, int]]:
    """`evaluate_folder` where nobody else writes meanwhile."""
    from predictors import AccuracyPredictor, read_accuracy_table
    from supernets import (
        Evaluation,
        accuracy_table,
        bf16_pays,
        known_temperatures,
        load_supernet,
        sha256,
    )

    weights, table = folder / WEIGHTS, folder / "accuracy.safetensors"
    supernet, metadata = load_supernet(weights)
    dataset = matching_dataset(metadata, data, listener)
    space, checksum = supernet.space, sha256(weights)
    subnets = subnets_to_evaluate(space, n_subnets, seed)
    validation = Evaluation.of(dataset, "validation", bf16=bf16_pays())
    grid = PolicyGrid(space.n_exits)
    if overwrite:
        table.unlink(missing_ok=True)
    temperatures = known_temperatures(supernet, validation, grid, table, checksum)
    temperatures = temperatures or pooled_temperatures(supernet, subnets, validation)
    arguments = (validation, grid, temperatures, table, checksum)
    for done in accuracy_table(supernet, subnets, *arguments):
        yield done, len(subnets)
    known = read_accuracy_table(table, space)
    predictor = AccuracyPredictor(space).fit(known)
    for name in (ENTRY, TABLE):  # measured accuracies take the place of published ones
        (folder / name).unlink(missing_ok=True)
    predictor.save(folder / "predictor")
    # of the kind that was chosen: to choose it again in every fold would take five times as long
    quality = AccuracyPredictor(space, regressor=predictor.kind_).cross_validate(known)
    test = Evaluation.of(dataset, "test")
    named = named_accuracies(supernet, subnets, test, temperatures)
    rows = known.rows(space.genes([space.parse(row["subnet"]) for row in named]))
    errors = known.top1_error_pct[rows, grid.index(ExitPolicy())].tolist()
    text = card(folder.name, metadata, named, quality, known, test, command, errors)
    write_text(folder / "card.md", text + by_hand(folder / "card.md"))


def by_hand(card: Path) -> str:
    """What a person added to a card, from the heading `How it was made` on; empty: nothing."""
    text = read_text(card) if card.exists() else ""
    return "".join(text.partition("\n## How it was made\n")[1:])


def matching_dataset(
    metadata: dict[str, Any], data: Path | None, listener: Listener | None = None
) -> Dataset:
    """The images in `data` at the resolution and with the constants that `metadata` trained with.

    InputError where their classes are others, or where images were added or removed since a split
    was drawn: the new draw would evaluate on images that were trained on.
    """
    from supernets import load_dataset
    from supernets.data import imagenet

    known = metadata.get("data")
    if known is not None and known["format"] == "imagenet":
        return imagenet(data, resolution=known["resolution"], listener=listener)
    if known is None:  # a checkpoint from before they described their images
        dataset = load_dataset(data)
        if dataset.name != metadata["dataset"]:
            raise _other_data(metadata["dataset"], dataset.name)
        return dataset
    side, channels = known["resolution"], known["channels"]
    dataset = load_dataset(data, resolution=side, in_channels=channels, listener=listener)
    found = dataset.describe()
    if found["classes"] != known["classes"] or found["channels"] != channels:
        if data is None:
            raise InputError(
                f"without `data` the images are scikit-learn's digits; give `data` with those that "
                f"the supernet was trained on: {_summary(known)}"
            )
        raise _other_data(_summary(known), _summary(found))
    named = "image folder" not in (known["format"], found["format"])
    if named and found["name"] != known["name"]:
        raise _other_data(known["name"], found["name"])
    splits = [(d["drawn"], d["n_images"]) for d in (known, found)]
    if any(drawn for drawn, _ in splits) and splits[0] != splits[1]:
        raise InputError(
            f"`data` holds {_sizes(found)} images, training had {_sizes(known)}: with splits drawn "
            "here, images that were trained on would be evaluated; restore the folder or train anew"
        )
    return replace(dataset, mean=tuple(known["mean"]), std=tuple(known["std"]))


def _other_data(known: str, found: str) -> InputError:
    return InputError(f"`data` holds {found}, the supernet was trained on {known}")


def _summary(data: dict[str, Any]) -> str:
    classes = data["classes"]
    shown = ", ".join(classes[:5]) + ", ..." * (len(classes) > 5)
    return f"{data['name']} ({len(classes)} classes {shown}; {data['channels']} channels)"


def _sizes(data: dict[str, Any]) -> str:
    return " + ".join(f"{n} {split}" for split, n in data["n_images"].items())


def subnets_to_evaluate(space: Space, n: int, seed: int) -> list[Subnet]:
    """`n` distinct subnets: both ends, then half spread over sizes and half uniform.

    A growing sequence: more of them begin with the same ones. A space with fewer gives all it has.
    """
    found = {row.tobytes(): row for row in np.concatenate([space.largest, space.smallest])}
    for block in range(2 + 8 * n // BLOCK):
        rng = np.random.default_rng([seed, block])
        spread = space.sample_spread(BLOCK, rng, repeats=True)
        mixed = np.stack([spread, space.sample(BLOCK, rng)], axis=1).reshape(2 * BLOCK, -1)
        found |= {key: row for row in mixed if (key := row.tobytes()) not in found}
        if len(found) >= n:
            break
    return space.subnets(np.array(list(found.values())[:n]))


def pooled_temperatures(supernet: Any, subnets: list[Subnet], data: Any) -> list[float]:
    """One temperature per exit for all subnets, fitted on the pooled logits of twelve of them."""
    import torch

    from supernets import fit_temperatures

    pool = [data.logits(supernet, subnet) for subnet in subnets[:12]]
    return fit_temperatures(torch.cat(pool, dim=1), data.labels.repeat(len(pool)))
