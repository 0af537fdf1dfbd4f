"""Cost of (subnet, device): a network for the subnet, a few measured rows for the device.

log cost = phi(subnet) . w(device) + noise. The network phi is shared by all devices; w has a
Gaussian prior, so what a device is follows from any number of its rows in closed form, with the
uncertainty that is left. Both are learned together, by predicting other rows of a device from few
of them (Harrison et al., 2018: ALPaCA). Devices are few, so training makes up mixtures of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

from predictors.design.layers import forward, initial, minimise, to_numpy, to_torch
from search_spaces import Floats, Ints

if TYPE_CHECKING:
    from torch import Tensor


N_EPISODES, N_QUERIES = 16, 64  # devices per step and rows of each that are predicted
N_GIVEN = (4, 32)  # rows of each that are given
FREEDOM = 5.0  # rows' worth of trust in the usual uncertainty: a device may be odder than others
OFFSET = 100.0  # variance of a device's scale in log units: as good as unknown


@dataclass(frozen=True)
class Embedding:
    """What is known of one device: mean and covariance of its weights."""

    mean: Floats  # (q,)
    covariance: Floats  # (q, q)
    noise: float  # variance of a row


class DevicePredictor:
    """log cost of one-hot subnets on a device that a few rows describe."""

    def __init__(
        self, *, n_features: int = 24, hidden: int = 128, n_steps: int = 2000, seed: int = 0
    ) -> None:
        self.n_features, self.hidden, self.n_steps, self.seed = n_features, hidden, n_steps, seed

    def fit(self, X: Floats, log_cost: Floats, families: Sequence[str]) -> Self:
        """Learn from X (n, inputs) and log_cost (n, P) on P devices; a family counts as one."""
        import torch

        rng = np.random.default_rng(self.seed)
        sizes = (X.shape[1], self.hidden, self.hidden, self.n_features)
        layers = to_torch(initial(sizes, rng), learn=True)
        mean = torch.zeros(self.n_features + 1, requires_grad=True)
        log_variance = torch.zeros(self.n_features, requires_grad=True)
        log_noise = torch.tensor(-5.0, requires_grad=True)
        x = torch.tensor(np.asarray(X, np.float32))

        def loss(step: int) -> Tensor:
            rows, y = self._episodes(log_cost, families, rng)
            phi = forward(layers, x[torch.tensor(rows).flatten()])
            phi = phi.reshape(*rows.shape, -1).double()
            phi = torch.cat([phi, torch.ones(*rows.shape, 1, dtype=torch.double)], dim=2)
            n = rows.shape[1] - N_QUERIES
            prior = _prior(mean, log_variance)
            return _surprise(phi, torch.tensor(y), n, *prior, log_noise.double().exp())

        learned = [a for layer in layers for a in layer]
        minimise(loss, [*learned, mean, log_variance, log_noise], self.n_steps, 3e-3)
        self.layers_ = to_numpy(layers)
        self.mean_, variance = (a.detach().numpy() for a in _prior(mean, log_variance))
        self.precision_ = 1 / variance
        self.noise_ = float(log_noise.detach().exp())
        return self

    def features(self, X: Floats) -> Floats:
        """phi (n, q) of one-hot subnets; the last is the constant."""
        phi = forward(self.layers_, np.asarray(X, np.float32))
        return np.column_stack([phi, np.ones(len(phi), np.float32)])

    def embed(self, phi: Floats, log_cost: Floats) -> Embedding:
        """The device whose rows phi (k, q) have these log costs (k,); k may be 0."""
        phi = np.asarray(phi, float)
        precision = np.diag(self.precision_) + phi.T @ phi / self.noise_
        covariance = np.linalg.inv(precision)
        gap = np.asarray(log_cost, float) - phi @ self.mean_
        pull = covariance @ (phi.T @ gap) / self.noise_
        misfit = gap @ (gap - phi @ pull) / self.noise_
        amplitude = (FREEDOM + misfit) / (FREEDOM + len(phi))
        return Embedding(self.mean_ + pull, amplitude * covariance, amplitude * self.noise_)

    def predict(self, phi: Floats, device: Embedding) -> tuple[Floats, Floats]:
        """log cost (n,) of rows phi (n, q) on the device, and its standard deviation (n,)."""
        phi = np.asarray(phi, float)
        variance = ((phi @ device.covariance) * phi).sum(axis=1)
        return phi @ device.mean, np.sqrt(variance + device.noise)

    def anchors(self, phi: Floats, n: int) -> Ints:
        """Which n of the rows phi (m, q) tell most of an unknown device, in order.

        Each next one lowers the summed variance of all rows most; no cost is looked at.
        """
        phi = np.asarray(phi, float)
        covariance, chosen = np.diag(1 / self.precision_), list[int]()
        for _ in range(n):
            projected = phi @ covariance
            spread = (projected * phi).sum(axis=1) + self.noise_
            shared = phi.T @ phi
            gain = ((projected @ shared) * projected).sum(axis=1) / spread
            gain[chosen] = -1
            best = int(gain.argmax())
            chosen.append(best)
            covariance = covariance - np.outer(projected[best], projected[best]) / spread[best]
        return np.array(chosen)

    def _episodes(
        self, log_cost: Floats, families: Sequence[str], rng: np.random.Generator
    ) -> tuple[Ints, Floats]:
        """Rows (episodes, given + queries) and their log costs on made-up devices."""
        n_given = int(rng.integers(*N_GIVEN))
        rows = rng.integers(len(log_cost), size=(N_EPISODES, n_given + N_QUERIES))
        return rows, mixtures(log_cost, families, rows, rng)


def mixtures(
    log_cost: Floats, families: Sequence[str], rows: Ints, rng: np.random.Generator
) -> Floats:
    """log costs (m, k) of `rows` (m, k) on m made-up devices.

    Half of them are devices as they are; the others mix two, in log units, with a slope of their
    own. A family is drawn before its device, because its members are alike.
    """
    kin = np.array(families)
    names = np.unique(kin)
    pair = np.array(
        [rng.choice(np.flatnonzero(kin == f)) for f in rng.choice(names, 2 * len(rows))]
    )
    first, second = pair.reshape(2, -1)
    mixed = rng.random(len(rows)) < 0.5
    share = np.where(mixed, rng.uniform(-0.25, 1.25, len(rows)), 1.0)[:, None]
    slope = np.where(mixed, np.exp(rng.normal(0, 0.25, len(rows))), 1.0)[:, None]
    mean = log_cost.mean(axis=0)
    one, other = (log_cost[rows, d[:, None]] - mean[d][:, None] for d in (first, second))
    log_costs: Floats = slope * (share * one + (1 - share) * other) + mean[first][:, None]
    return log_costs


def _prior(mean: Tensor, log_variance: Tensor) -> tuple[Tensor, Tensor]:
    import torch

    variance = torch.cat([log_variance.exp(), torch.tensor([OFFSET])])
    return mean.double(), variance.double()


def _surprise(
    phi: Tensor, y: Tensor, n: int, mean: Tensor, variance: Tensor, noise: Tensor
) -> Tensor:
    """Mean negative log likelihood of all but the first n rows, each given the first n."""
    import torch

    given, asked = phi[:, :n], phi[:, n:]
    precision = (1 / variance).diag() + given.mT @ given / noise
    gap = given.mT @ (y[:, :n] - given @ mean)[..., None] / noise
    factor = torch.linalg.cholesky(precision)
    weights = mean + torch.cholesky_solve(gap, factor)[..., 0]
    half = torch.linalg.solve_triangular(factor, asked.mT, upper=False)
    spread = (half**2).sum(dim=1) + noise
    error = y[:, n:] - (asked @ weights[..., None])[..., 0]
    surprise: Tensor = (error**2 / spread + spread.log()).mean() / 2
    return surprise
