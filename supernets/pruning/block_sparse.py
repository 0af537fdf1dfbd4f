"""Training of a block-sparse supernet: blocks are ranked in trained weights, then weights adapt."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from search_spaces import BlockSparseSpace, InputError, Ints, get_space
from supernets.block_sparse import STEPS, BlockSparseSupernet, place_ranks
from supernets.data import Dataset
from supernets.pruning.all_in_one import STATE, WEIGHTS, check_dense, load_trained
from supernets.pruning.blocks import layer_scores
from supernets.pruning.orders import expanded
from supernets.resnet import ResNetSupernet
from supernets.training import Progress, TrainSettings, train


def train_block_sparse(
    dense: ResNetSupernet,
    space: BlockSparseSpace,
    data: Dataset,
    settings: TrainSettings,
    out: Path,
    *,
    trained: bool = True,
    device: str = "cpu",
    about: Mapping[str, Any] | None = None,
) -> Iterator[Progress]:
    """Train subnets of all densities of `space` into `out`, from the weights of `dense`.

    Without `trained` weights the dense supernet is trained first, into `out/dense`, for as many
    epochs. A rerun goes on where a killed one stopped.
    """
    told, path = dict(about or {}), out / WEIGHTS
    if path.exists() and (found := get_space(str(path))) != space:
        raise InputError(
            f"{out} holds a run of {found.name}, not {space.name}; choose another `out`"
        )
    if not trained:
        check_dense(out, out / STATE)
        yield from train(dense, data, settings, out / "dense", device=device, about=told)
        told["start"] = load_trained(dense, out / "dense" / WEIGHTS)
    yield from train(ranked(dense, space), data, settings, out, device=device, about=told)


@torch.no_grad()
def ranked(dense: ResNetSupernet, space: BlockSparseSpace) -> BlockSparseSupernet:
    """The weights of `dense`, and which of their blocks stay at every density."""
    net = BlockSparseSupernet(space)
    net.load_state_dict(dense.state_dict(), strict=False)  # ranks alone are new
    for name, layer in net.block_layers.items():
        layer.set_ranks(block_ranks(name, layer.weight.float().numpy(), space.g))
    return net


def block_ranks(name: str, weight: np.ndarray[Any, Any], g: int) -> Ints:
    """Ranks (rows, columns) by block expansion and division: at any density nearly the best blocks.

    InputError names a layer whose weights are not finite.
    """
    scores = layer_scores(name, weight, g, "l1")
    order = expanded(scores, g, scores.size)
    n_rounds, n_lines = order.gains.shape
    place = np.full((n_rounds + 1) * n_lines, -1)  # one round more, for no block
    place[np.argsort(-order.gains.ravel(), kind="stable")] = np.arange(order.gains.size)
    place = place.reshape(n_rounds + 1, n_lines)
    found = np.take_along_axis(place, np.minimum(order.rounds, n_rounds), axis=0)
    return np.where(found < 0, STEPS, place_ranks(found, g, scores.size))
