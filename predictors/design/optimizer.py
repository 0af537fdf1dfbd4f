"""Designs for any (device, bound) in one forward pass of a network, repaired.

The second approach of Lu et al., 2020 (arXiv:2009.00278): the optimiser is trained through frozen
predictors of cost and accuracy, on many devices and bounds at once. Genes are drawn by the
straight-through Gumbel-softmax (Jang et al., 2017), so gradients reach its weights.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import safetensors.numpy

from predictors.artifacts import faults_named, read_artifact, write_artifact
from predictors.design.conditioned import DevicePredictor, Embedding, mixtures
from predictors.design.layers import (
    Layers,
    fit_layers,
    forward,
    initial,
    minimise,
    to_numpy,
    to_torch,
)
from predictors.design.repair import Belief, Pool, keys, repair
from search_spaces import Floats, Genes, Ints, Space, feature_names

if TYPE_CHECKING:
    from torch import Generator, Tensor

Value = Callable[[Genes], Floats]

SCHEMA, NAME = "nas.optimiser/1", "optimiser"
NETWORKS, N_LAYERS = ("cost", "accuracy", "optimiser"), 3
N_DEVICES, N_REFERENCES, N_ANCHORS, BATCH = 512, 48, 10, 256
SCALE = 0.4  # usual standard deviation of log costs in a space
PENALTY = 10.0  # standard deviations of accuracy per log unit above the bound
FAN = np.array([0.0, *np.linspace(-0.2, 0.1, 15)])  # log units: what is asked in one forward pass
N_DRAWS = 4  # designs for each of them


class NeuralOptimizer:
    """Trained once on devices that are known; then proposes designs for any other.

    A device is what a few measured rows say of it (`embed`); a bound is a cost.
    """

    def __init__(self, space: Space, *, hidden: int = 128, n_steps: int = 2000, seed: int = 0):
        self.space, self.hidden, self.n_steps, self.seed = space, hidden, n_steps, seed
        self.about_: dict[str, Any] = {}  # the sidecar of a loaded one

    def fit(
        self, genes: Genes, log_cost: Floats, families: Sequence[str], accuracy: Floats
    ) -> Self:
        """Learn from canonical genes (n, g), log costs (n, P) on P devices and accuracies (n,)."""
        rng = np.random.default_rng(self.seed)
        X = one_hot(self.space, self._filled(genes, rng))
        predictor = DevicePredictor(hidden=self.hidden, n_steps=self.n_steps, seed=self.seed)
        self.predictor_ = predictor.fit(X, log_cost, families)
        y = np.maximum(accuracy, np.quantile(accuracy, 0.05))  # how bad the worst are: no matter
        y = (y - y.mean()) / y.std()
        n_steps = 2 * self.n_steps
        self.accuracy_ = fit_layers(X, y[:, None], hidden=self.hidden, n_steps=n_steps, rng=rng)
        self.references_ = X[rng.integers(len(X), size=N_REFERENCES)]
        self._fit_optimiser(X, self._devices(X, log_cost, families, rng), rng)
        return self

    def _filled(self, genes: Genes, rng: np.random.Generator) -> Genes:
        """Any choice in genes of skipped blocks: networks learn that they do not matter."""
        drawn = np.stack([rng.choice(np.array(c), len(genes)) for c in self.space.choices], axis=1)
        return np.where(self.space.active(genes), genes, drawn)

    def _devices(
        self, X: Floats, log_cost: Floats, families: Sequence[str], rng: np.random.Generator
    ) -> Floats:
        """Weights (N_DEVICES, q) of made-up devices, as their anchors tell them."""
        phi = self.predictor_.features(X)
        candidates = rng.integers(len(X), size=2000)
        anchors = candidates[self.predictor_.anchors(phi[candidates], N_ANCHORS)]
        costs = mixtures(log_cost, families, np.tile(anchors, (N_DEVICES, 1)), rng)
        return np.stack([self.predictor_.embed(phi[anchors], y).mean for y in costs])

    def _fit_optimiser(self, X: Floats, devices: Floats, rng: np.random.Generator) -> None:
        import torch

        sizes, n_steps = [len(c) for c in self.space.choices], 3 * self.n_steps // 4
        widths = (N_REFERENCES, self.hidden, self.hidden, sum(sizes))
        layers = to_torch(initial(widths, rng), learn=True)
        phi, accuracy = (
            to_torch(frozen, learn=False) for frozen in (self.predictor_.layers_, self.accuracy_)
        )
        references = self.predictor_.features(self.references_)
        sample = self.predictor_.features(X[rng.integers(len(X), size=512)])
        weights, known = _tensor(devices), _tensor(devices @ references.T)
        bounds = _tensor(devices @ sample.T)  # any cost that some design has
        draw = torch.Generator().manual_seed(self.seed)

        def loss(step: int) -> Tensor:
            device = torch.randint(len(weights), (BATCH,), generator=draw)
            rank = torch.randint(bounds.shape[1], (BATCH,), generator=draw)
            w, bound = weights[device], bounds[device, rank]
            logits = forward(layers, _inputs(known[device] - bound[:, None]))
            x = straight_through(logits, sizes, 1.0 - 0.7 * step / n_steps, draw)
            log_cost = (forward(phi, x) * w[:, :-1]).sum(dim=1) + w[:, -1]
            excess = torch.relu(log_cost - bound)
            value: Tensor = (PENALTY * excess - forward(accuracy, x)[:, 0]).mean()
            return value

        minimise(loss, [a for layer in layers for a in layer], n_steps, 3e-3)
        self.layers_: Layers = to_numpy(layers)

    # ---- files ---------------------------------------------------------------------------------

    def save(self, folder: Path | str, **about: Any) -> None:
        """Write `optimiser.{json,safetensors}`; `about` joins the sidecar."""
        described = {
            "schema": SCHEMA,
            "space": self.space.name,
            "feature_names": feature_names(self.space),
            "n_features": self.predictor_.n_features,
            "noise": self.predictor_.noise_,
            "hidden": self.hidden,
            "seed": self.seed,
        }
        arrays = {"references": self.references_, "mean": self.predictor_.mean_}
        arrays["precision"] = self.predictor_.precision_
        for name, layers in self._networks().items():
            for number, (weight, bias) in enumerate(layers):
                arrays |= {f"{name}.{number}.weight": weight, f"{name}.{number}.bias": bias}
        tensors = {k: np.ascontiguousarray(v) for k, v in arrays.items()}
        files = {"safetensors": safetensors.numpy.save(tensors)}
        write_artifact(Path(folder), NAME, files, about | described)

    @classmethod
    def load(cls, folder: Path | str, space: Space) -> Self:
        """What `save` wrote for `space`; ArtifactError (an InputError) for anything else.

        `about_` holds the whole sidecar.
        """
        files, described = read_artifact(Path(folder), NAME, SCHEMA, space)
        with faults_named(Path(folder) / f"{NAME}.json"):
            arrays = safetensors.numpy.load(files["safetensors"])
            optimizer = cls(space, hidden=described["hidden"], seed=described["seed"])
            predictor = DevicePredictor(n_features=described["n_features"])
            predictor.noise_, predictor.mean_ = described["noise"], arrays["mean"]
            predictor.precision_ = arrays["precision"]
            optimizer.predictor_, optimizer.references_ = predictor, arrays["references"]
            predictor.layers_, optimizer.accuracy_, optimizer.layers_ = (
                [(arrays[f"{n}.{i}.weight"], arrays[f"{n}.{i}.bias"]) for i in range(N_LAYERS)]
                for n in NETWORKS
            )
            optimizer.about_ = described
        return optimizer

    def _networks(self) -> dict[str, Layers]:
        networks = self.predictor_.layers_, self.accuracy_, self.layers_
        return dict(zip(NETWORKS, networks, strict=True))

    # ---- use -----------------------------------------------------------------------------------

    def anchors(self, genes: Genes, n: int = N_ANCHORS) -> Ints:
        """Which n of `genes` to measure on a new device; no cost is looked at."""
        return self.predictor_.anchors(self._features(genes), n)

    def embed(self, genes: Genes, log_cost: Floats) -> Embedding:
        """What the measured log costs (k,) of `genes` (k, g) say of their device."""
        return self.predictor_.embed(self._features(genes), log_cost)

    def predict(self, genes: Genes, device: Embedding) -> tuple[Floats, Floats]:
        """Mean and standard deviation (n,) of the log cost of `genes` on a device."""
        return self.predictor_.predict(self._features(genes), device)

    def accuracy(self, genes: Genes) -> Floats:
        """Predicted accuracy (n,) in standard deviations: the default value of a design."""
        X = one_hot(self.space, self.space.full(genes))
        return np.asarray(forward(self.accuracy_, X)[:, 0], float)

    def designs(self, device: Embedding, log_bound: float) -> Genes:
        """One forward pass: the likeliest design first, then others, also of bounds nearby."""
        known = self.predictor_.features(self.references_) @ device.mean
        logits = forward(
            self.layers_, _inputs((known - (log_bound + FAN[:, None])).astype(np.float32))
        )
        noise = np.random.default_rng(self.seed).gumbel(size=(N_DRAWS, *logits.shape))
        noise[0] = 0
        likely = (logits + noise).reshape(-1, logits.shape[1])
        genes, start = [], 0
        for choices in self.space.choices:
            best = likely[:, start : start + len(choices)].argmax(axis=1)
            genes.append(np.array(choices)[best])
            start += len(choices)
        found = self.space.canonical(np.stack(genes, axis=1))
        first = {key: row for row, key in reversed(list(enumerate(keys(found))))}
        return found[sorted(first.values())]

    def propose(self, device: Embedding, log_bound: float, value: Value | None = None) -> Pool:
        """Designs for a bound, repaired: the best that is predicted to meet it comes first."""

        def look(genes: Genes) -> Pool:
            return Pool(genes, (value or self.accuracy)(genes), *self.predict(genes, device))

        return repair(look(self.designs(device, log_bound)), log_bound, look, self.space)

    def belief(self, pool: Pool, genes: Genes, log_cost: Floats) -> Belief:
        """For `verify`: what is believed of the pool when more than `genes` was measured."""
        given, asked = self._features(genes), self._features(pool.genes)

        def believed(rows: Ints, more: Floats) -> tuple[Floats, Floats]:
            phi, y = np.concatenate([given, asked[rows]]), np.concatenate([log_cost, more])
            return self.predictor_.predict(asked, self.predictor_.embed(phi, y))

        return believed

    def _features(self, genes: Genes) -> Floats:
        return self.predictor_.features(one_hot(self.space, self.space.full(genes)))


def one_hot(space: Space, genes: Genes) -> Floats:
    """(n, choices of all genes); a gene at none of its choices is all zero."""
    columns = [genes[:, [i]] == np.array(c) for i, c in enumerate(space.choices)]
    return np.concatenate(columns, axis=1).astype(np.float32)


def straight_through(logits: Tensor, sizes: Sequence[int], heat: float, rng: Generator) -> Tensor:
    """One-hot draws gene by gene, with the gradient of the softmax at temperature `heat`."""
    import torch

    uniform = torch.rand(logits.shape, generator=rng).clamp(1e-6, 1 - 1e-6)
    noisy = (logits - (-uniform.log()).log()) / heat
    drawn = []
    for part in torch.split(noisy, list(sizes), dim=1):
        soft = part.softmax(dim=1)
        hard = torch.nn.functional.one_hot(soft.argmax(dim=1), soft.shape[1])
        drawn.append(hard + soft - soft.detach())
    return torch.cat(drawn, dim=1)


def _inputs(log_gap: Any) -> Any:
    """What the optimiser sees: how far the reference designs are from the bound, limited."""
    return (log_gap / SCALE).clip(-5, 5)


def _tensor(values: Floats) -> Tensor:
    import torch

    return torch.tensor(np.asarray(values, np.float32))
