"""A supernet's folder: where it is found, and how weights become a folder that can be searched.

weights.safetensors    trained weights, space, data set, settings
accuracy.safetensors   `nas.accuracy/1`: error and exit rates of evaluated subnets
predictor/             the same for subnets never evaluated
card.md                what a person wants to know first
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from nas.card import card, named_accuracies
from nas.files import write_text
from search_spaces import InputError, PolicyGrid, Space, Subnet

DEFAULT = "resnet-cifar10"


def zoo_names() -> list[str]:
    """Names of the supernets that ship with the project."""
    zoo = _zoo()
    return sorted(p.name for p in zoo.iterdir() if p.is_dir()) if zoo.is_dir() else []


def supernet_folder(name: str) -> Path:
    """The folder of `--supernet`: a name from the zoo, `auto`, or a path."""
    for folder in (_zoo() / (DEFAULT if name == "auto" else name), Path(name)):
        if (folder / "weights.safetensors").exists():
            return folder
    raise InputError(
        f"no supernet {name!r}: it is neither in the zoo ({', '.join(zoo_names()) or 'empty'}) nor "
        "a folder with weights.safetensors; `nas supernet train --out DIR` makes one"
    )


def _zoo() -> Path:
    return Path(str(files("supernets"))) / "zoo"


def evaluate_folder(
    folder: Path, data: Path | None, *, n_subnets: int, seed: int, command: str
) -> Iterator[tuple[int, int]]:
    """Evaluate `n_subnets` on the validation split, fit the predictor, write the card.

    Yields (done, all); a rerun goes on where a killed one stopped.
    """
    from predictors import AccuracyPredictor, read_accuracy_table
    from supernets import (
        Evaluation,
        accuracy_table,
        bf16_pays,
        load_dataset,
        load_supernet,
        sha256,
    )

    weights, table = folder / "weights.safetensors", folder / "accuracy.safetensors"
    supernet, metadata = load_supernet(weights)
    dataset = load_dataset(data)
    if dataset.name != metadata["dataset"]:
        raise InputError(
            f"{folder} was trained on {metadata['dataset']}, --data holds {dataset.name}"
        )
    space, checksum = supernet.space, sha256(weights)
    subnets = subnets_to_evaluate(space, n_subnets, seed)
    validation = Evaluation.of(dataset, "validation", bf16=bf16_pays())
    temperatures = pooled_temperatures(supernet, subnets, validation)
    grid = PolicyGrid(space.n_exits)
    arguments = (validation, grid, temperatures, table, checksum)
    for done in accuracy_table(supernet, subnets, *arguments):
        yield done, len(subnets)
    known = read_accuracy_table(table, space)
    predictor = AccuracyPredictor(space).fit(known)
    predictor.save(folder / "predictor")
    quality = AccuracyPredictor(space).cross_validate(known)
    test = Evaluation.of(dataset, "test")
    named = named_accuracies(supernet, subnets, test, temperatures)
    text = card(folder.name, metadata, named, quality, known, test, command)
    write_text(folder / "card.md", text)


def subnets_to_evaluate(space: Space, n: int, seed: int) -> list[Subnet]:
    """`n` distinct subnets: both ends, then half spread over sizes and half uniform."""
    rng = np.random.default_rng(seed)
    spread = space.sample_spread(4 * n, rng)
    mixed = np.stack([spread, space.sample(4 * n, rng)], axis=1).reshape(8 * n, -1)
    ordered = np.concatenate([space.largest, space.smallest, mixed])
    return space.subnets(np.array(list({row.tobytes(): row for row in ordered}.values())[:n]))


def pooled_temperatures(supernet: Any, subnets: list[Subnet], data: Any) -> list[float]:
    """One temperature per exit for all subnets, fitted on the pooled logits of twelve of them."""
    import torch

    from supernets import fit_temperatures

    pool = [data.logits(supernet, subnet) for subnet in subnets[:12]]
    return fit_temperatures(torch.cat(pool, dim=1), data.labels.repeat(len(pool)))
