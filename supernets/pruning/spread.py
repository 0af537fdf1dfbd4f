"""How a sparsity is spread over the layers of a network."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from search_spaces import InputError

SPREADS = ("even", "erk")


def layer_sparsities(
    shapes: Mapping[str, Sequence[int]], sparsity: float, spread: str = "even"
) -> dict[str, float]:
    """The sparsity of every layer, so that all of them together have `sparsity`.

    `even`: the same for all. `erk`: a layer keeps a share that is proportional to the sum of its
    sides over their product (Erdos-Renyi kernels; Evci et al., 2020, arXiv:1911.11134), at most
    all of it: narrow layers, which the whole network goes through, keep more. `shapes` are those
    of weights, (c_out, c_in, ...). InputError: no such share.
    """
    if not 0 <= sparsity < 1:
        raise InputError(f"`sparsity` must be at least 0 and under 1, got {sparsity}")
    if spread == "even":
        return dict.fromkeys(shapes, sparsity)
    sizes = {name: math.prod(shape) for name, shape in shapes.items()}
    shares = {name: sum(shape) / sizes[name] for name, shape in shapes.items()}
    left, whole = (1 - sparsity) * sum(sizes.values()), set[str]()
    while True:
        thin = shares.keys() - whole
        scale = left / sum(shares[name] * sizes[name] for name in thin) if thin else 0.0
        more = {name for name in thin if scale * shares[name] >= 1}
        if not more:
            return {name: 0.0 if name in whole else 1 - scale * shares[name] for name in shapes}
        whole |= more
        left -= sum(sizes[name] for name in more)
