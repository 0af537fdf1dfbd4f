"""The written files against the networks they came from, with ONNX Runtime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from nas.export.plan import Export, Network
from nas.pareto.provenance import MEASURED
from nas.runtime import Engine, read_manifest
from nas.runtime.records import VerifiedKernels
from search_spaces import InputError

N_IMAGES = 256  # at most: a small data set has fewer for validation
MEMORY_MB = 1.0  # the network that is checked, no other one
TOLERANCE = {"fp32": 1e-4, "fp16": 5e-2}  # of logits, relative to the largest of a network
DECISIONS = {"fp32": 0.995, "fp16": 0.97}  # share of exits and classes that must agree


def verify_export(export: Export, folder: Path, *, precision: str) -> VerifiedKernels:
    """Logits and decisions of every network and configuration; InputError where they differ.

    Runs on validation images where the export has a data set, on seeded noise otherwise.
    """
    manifest = read_manifest(str(folder))
    engine = Engine(manifest, memory_mb=MEMORY_MB, kernels=False)
    fast = Engine(manifest, memory_mb=MEMORY_MB) if "kernels" in manifest.content else None
    worst, same, total, done, kernels, n_images = 0.0, 0, 0, 0, 0.0, 0
    for name, network in export.networks.items():
        x = _images(export, network)
        n_images = len(x)
        with torch.inference_mode():
            wanted = network.net(x)
        worst = _larger(worst, _difference(wanted, engine.logits(name, x.numpy())))
        if np.isnan(worst):
            raise InputError(
                f"in {precision} {name} answers numbers that are not finite; nothing was written"
            )
        if fast:
            kernels = _larger(kernels, _difference(wanted, fast.logits(name, x.numpy())))
        for point in (point for point, of in export.configurations if of == name):
            exits, classes = decided(wanted, network, point["exits"]["thresholds"])
            theirs = engine(point["id"], x.numpy())
            agree = (exits == theirs.exits) & (classes == theirs.classes)
            same, total = same + int(agree.sum()), total + len(agree)
            done += 1
            export.step("check", done, len(export.configurations))
    if not kernels <= TOLERANCE[precision]:
        raise InputError(
            f"kernels answer differently: logits by {kernels:.2g}; nothing was written"
        )
    if not worst <= TOLERANCE[precision] or same < DECISIONS[precision] * total:
        raise InputError(
            f"ONNX Runtime answers differently: logits by {worst:.2g} (at most "
            f"{TOLERANCE[precision]:g}), {same} of {total} decisions equal; nothing was written"
        )
    images = "noise" if export.dataset is None else f"{export.dataset.name} validation"
    found: VerifiedKernels = {
        "runtime": "onnxruntime",
        "images": images,
        "n_images": n_images,
        "max_logit_difference": float(f"{worst:.3g}"),
        "decisions": total,
        "equal_decisions": same,
        "source": MEASURED,
    }
    if fast:
        found["kernels_max_logit_difference"] = float(f"{kernels:.3g}")
    return found


def _images(export: Export, network: Network) -> Tensor:
    if export.dataset is None:
        generator = torch.Generator().manual_seed(0)
        return torch.randn(N_IMAGES, *network.input_shape, generator=generator)
    return sized(export.dataset.normalise(export.dataset.validation.images[:N_IMAGES]), network)


def sized(images: Tensor, network: Network) -> Tensor:
    """Normalised `images` (N, C, H, W) at the side that `network` takes."""
    if images.shape[-1] != network.input_shape[-1]:
        side = network.input_shape[1:]
        images = torch.nn.functional.interpolate(images, side, mode="bilinear", antialias=True)
    return images.contiguous()


def _difference(wanted: list[Tensor], found: list[np.ndarray]) -> float:
    """Largest difference of a logit, relative to the largest logit of its exit."""
    parts = [
        float(np.abs(a.numpy() - b).max() / max(1.0, float(a.abs().max())))
        for a, b in zip(wanted, found, strict=True)
    ]
    return float(np.max(parts))


def _larger(a: float, b: float) -> float:
    """NaN where one of them is: `max` would lose it."""
    return float(np.maximum(a, b))


def decided(
    logits: list[Tensor], network: Network, thresholds: list[float]
) -> tuple[np.ndarray, np.ndarray]:
    """Exit and class of every image, of the logits of all exits: the first that is sure enough."""
    pairs = zip(logits, network.temperatures, strict=True)
    found = [(z / temperature).softmax(dim=1).max(dim=1) for z, temperature in pairs]
    confidence = np.stack([of.values.numpy() for of in found]).astype(np.float64)
    classes = np.stack([of.indices.numpy() for of in found])
    first = (confidence >= np.array([*thresholds, 0.0])[:, None]).argmax(axis=0)
    return np.array(network.net.head_ids)[first], classes[first, np.arange(len(first))]
