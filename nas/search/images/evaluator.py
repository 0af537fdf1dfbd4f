"""One subnet on images: calibrate, run, count what every exit policy does with every image."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from search_spaces import PolicyGrid, space_from_dict

if TYPE_CHECKING:
    from torch import Tensor

    from supernets import Evaluation, Supernet

Counts = NDArray[np.int32]  # (P, E + 2) images: answered wrongly, then gone at each exit


@dataclass(frozen=True)
class Evaluator:
    """`evaluator(subnet)`: the same counts on every machine with the same kind of processor."""

    supernet: Supernet
    data: Evaluation
    grid: PolicyGrid
    temperatures: Sequence[float]

    def __call__(self, subnet: str) -> Counts:
        """Counts of one subnet; one thread, so that sums of floats have one order everywhere."""
        from supernets import policy_accuracy

        chosen = self.supernet.space.parse(subnet)
        with one_thread():
            error, rates = policy_accuracy(
                self.supernet, chosen, self.data, self.grid, self.temperatures
            )
        share = np.concatenate([error[:, None] / 100, rates], axis=1)
        counts: Counts = np.rint(share * self.n_images).astype(np.int32)
        return counts

    def each(self, subnets: Sequence[str]) -> Iterator[tuple[str, Counts]]:
        """Subnets with their counts, one after the other in this process."""
        for subnet in subnets:
            yield subnet, self(subnet)

    @property
    def n_images(self) -> int:
        return len(self.data.labels)

    def describe(self) -> dict[str, Any]:
        """Everything that decides the counts of a subnet besides the weights."""
        data = self.data
        digest = hashlib.sha256()
        for tensor in (data.images, data.labels, data.bn_images):
            digest.update(tensor.contiguous().numpy().tobytes())
        return {
            "split": data.split,
            "n_images": self.n_images,
            "n_bn_images": len(data.bn_images),
            "images_sha256": digest.hexdigest(),
            "thresholds": list(self.grid.thresholds),
            "temperatures": list(self.temperatures),
        }

    # ---- on the way to another process ---------------------------------------------------------

    def __reduce__(self) -> tuple[Any, ...]:
        """Ray moves an evaluator as its arrays."""
        return Evaluator.from_arrays, (self.to_arrays(),)

    def to_arrays(self) -> dict[str, Any]:
        """Plain arrays and values, which an object store keeps once and shares without a copy."""
        data = self.data
        return {
            "space": self.supernet.space.to_dict(),
            "weights": {k: _channels_last(v) for k, v in self.supernet.state_dict().items()},
            "images": [t.numpy() for t in (data.images, data.labels, data.bn_images)],
            "split": data.split,
            "thresholds": self.grid.thresholds,
            "temperatures": tuple(self.temperatures),
        }

    @classmethod
    def from_arrays(cls, content: dict[str, Any]) -> Evaluator:
        """What `to_arrays` took apart; the tensors lie where the (read-only) arrays do."""
        from supernets import Evaluation, build_supernet

        space = space_from_dict(content["space"])
        supernet = build_supernet(space)
        weights = {k: _tensor(v, channels_last=True) for k, v in content["weights"].items()}
        supernet.load_state_dict(weights, assign=True)
        images, labels, bn_images = map(_tensor, content["images"])
        data = Evaluation(images, labels, bn_images, content["split"])
        grid = PolicyGrid(space.n_exits, content["thresholds"])
        return cls(supernet.eval(), data, grid, content["temperatures"])


@contextmanager
def one_thread() -> Iterator[None]:
    """Torch on one thread inside."""
    import torch

    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(n_threads)


def _channels_last(weight: Tensor) -> NDArray[Any]:
    """A contiguous array; the weights of convolutions lie in memory as channels last."""
    tensor = weight.detach()
    return (tensor.permute(0, 2, 3, 1) if tensor.dim() == 4 else tensor).contiguous().numpy()


def _tensor(array: NDArray[Any], *, channels_last: bool = False) -> Tensor:
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # shared memory is read-only; so are we
        tensor = torch.from_numpy(array)
    return tensor.permute(0, 3, 1, 2) if channels_last and tensor.dim() == 4 else tensor
