"""Small networks as plain arrays: trained with torch, run with numpy, saved as tensors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

Layers = list[tuple[Any, Any]]  # weights (inputs, outputs) and bias (outputs,) of each layer


def forward(layers: Layers, x: Any) -> Any:
    """Outputs (n, outputs) of x (n, inputs), rectified between layers; arrays or tensors."""
    for number, (weight, bias) in enumerate(layers):
        x = x @ weight + bias
        if number < len(layers) - 1:
            x = x * (x > 0)
    return x


def initial(sizes: Sequence[int], rng: np.random.Generator) -> Layers:
    """Layers of these sizes, inputs first, with the variance that rectifiers need (He, 2015)."""
    return [
        (rng.normal(0, np.sqrt(2 / n), (n, m)).astype(np.float32), np.zeros(m, np.float32))
        for n, m in pairwise(sizes)
    ]


def to_torch(layers: Layers, *, learn: bool) -> Layers:
    """Copies as tensors; without `learn` they are constants, through which gradients flow."""
    import torch

    return [tuple(torch.tensor(a, requires_grad=learn) for a in layer) for layer in layers]  # type: ignore[misc]


def to_numpy(layers: Layers) -> Layers:
    return [(w.detach().numpy().copy(), b.detach().numpy().copy()) for w, b in layers]


def minimise(
    loss: Callable[[int], Tensor], parameters: Sequence[Tensor], n_steps: int, rate: float
) -> None:
    """Adam on `loss(step)`, with a learning rate that falls to 0 along a cosine.

    On one thread: networks this small get slower with more, much slower on a busy machine.
    """
    import torch

    optimizer = torch.optim.Adam(parameters, lr=rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, n_steps)
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for step in range(n_steps):
            optimizer.zero_grad()
            loss(step).backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
            schedule.step()
    finally:
        torch.set_num_threads(n_threads)


def fit_layers(
    X: NDArray[Any], Y: NDArray[Any], *, hidden: int, n_steps: int, rng: np.random.Generator
) -> Layers:
    """Two hidden layers that map X (n, inputs) to Y (n, outputs), by least squares."""
    import torch

    layers = to_torch(initial((X.shape[1], hidden, hidden, Y.shape[1]), rng), learn=True)
    x, y = (torch.tensor(np.asarray(a, np.float32)) for a in (X, Y))

    def loss(step: int) -> Tensor:
        rows = torch.tensor(rng.integers(len(X), size=256))
        error: Tensor = ((forward(layers, x[rows]) - y[rows]) ** 2).mean()
        return error

    minimise(loss, [a for layer in layers for a in layer], n_steps, 3e-3)
    return to_numpy(layers)
