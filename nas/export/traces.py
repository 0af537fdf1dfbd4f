"""Exit traces of real images: what every exit of every exported subnet says of each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import torch

from nas.pareto.provenance import MEASURED
from nas.runtime.traces import Traces, write_traces
from supernets import Evaluation, Supernet, confidence_and_correct


@torch.inference_mode()
def evaluate_traces(
    supernet: Supernet,
    subnets: Iterable[str],
    data: Evaluation,
    temperatures: Sequence[float],
    about: dict[str, object],
) -> Traces:
    """Confidence and correctness `(subnets, images, exits)` after recalibrating batch norm."""
    names = list(dict.fromkeys(subnets))
    seen = []
    for name in names:
        logits = data.logits(supernet, supernet.space.parse(name))
        seen.append(confidence_and_correct(logits, data.labels, temperatures))
    described = {**about, "split": data.split, "n_images": len(data.labels), "source": MEASURED}
    confidence, correct = (np.stack(arrays) for arrays in zip(*seen, strict=True))
    # half precision (0.05 % near 1) keeps the file small
    return Traces(described, names, confidence.astype(np.float16).astype(np.float32), correct)


def export_traces(path: Path, traces: Traces) -> str:
    """Write `path`; returns its checksum."""
    return write_traces(str(path), traces)
