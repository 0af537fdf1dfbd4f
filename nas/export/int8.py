"""An export in int8: quantised segments, with temperatures and thresholds of their own.

Ranges come from training images, temperatures and thresholds from the validation images, and what
is told of the result from the test images, which served no choice.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import Tensor

from nas.export.plan import Export, Network
from nas.export.verify import decided, sized
from nas.onnx.graph import segment_model
from nas.onnx.int8 import quantised
from nas.pareto import Point
from nas.pareto.provenance import MEASURED
from nas.runtime import Engine, read_manifest
from nas.runtime.records import VerifiedKernels
from search_spaces import Floats, InputError, Ints
from supernets import Dataset, Segment, calibration_images, fit_temperatures

N_CALIBRATION, N_FIT, N_CHECK = 256, 2000, 2000  # images at most
BATCH = 500  # images that run together
MEMORY_MB = 1.0  # the network that runs, no other one
MAX_LOSS_PCT = 5.0  # of the mean error of the configurations, on the test images


def quantised_segments(network: Network, dataset: Dataset) -> list[bytes]:
    """The graphs of `network`; each is calibrated on what the one before makes of the images."""
    x = sized(calibration_images(dataset)[:N_CALIBRATION], network).numpy()
    graphs, value = [], torch.zeros(1, *network.input_shape)
    for i, segment in enumerate(network.net.segments):
        assert isinstance(segment, Segment)
        last = i == len(network.net.segments) - 1
        model, value = segment_model(segment, value, last=last, half=False)
        graphs.append(quantised(model, x).SerializeToString())
        if not last:
            session = onnxruntime.InferenceSession(graphs[-1], providers=["CPUExecutionProvider"])
            x = session.run(["features"], {"input": x})[0]
    return graphs


def fitted(export: Export, folder: Path) -> Export:
    """`export` with the temperatures and thresholds that suit the quantised networks in `folder`.

    Temperatures are fitted again, and thresholds let as many validation images leave at every exit
    as those of the float network do, so that the expected costs hold.
    """
    assert export.dataset is not None
    engine = Engine(read_manifest(str(folder)), memory_mb=MEMORY_MB)
    labels = export.dataset.validation.labels[:N_FIT]
    images = export.dataset.normalise(export.dataset.validation.images[:N_FIT])
    networks, configurations = {}, []
    for name, network in export.networks.items():
        wanted, found = _answers(network, name, engine, images)
        temperatures = fit_temperatures(torch.stack(found), labels)
        networks[name] = replace(network, temperatures=temperatures)
        for point in (point for point, of in export.configurations if of == name):
            exits, _ = decided(wanted, network, point["exits"]["thresholds"])
            thresholds = _matched(exits, found, networks[name])
            own: Point = {**point, "exits": {**point["exits"], "thresholds": thresholds}}
            configurations.append((own, name))
        export.step("temperatures", len(networks), len(export.networks))
    order = [point["id"] for point, _ in export.configurations]
    configurations.sort(key=lambda pair: order.index(pair[0]["id"]))
    return replace(export, networks=networks, configurations=configurations)


def verified(export: Export, own: Export, folder: Path) -> tuple[Export, VerifiedKernels]:
    """`own`, the quantised `export`, with errors and exit rates of test images, and what they say.

    InputError: int8 costs more than `MAX_LOSS_PCT` points of accuracy.
    """
    assert export.dataset is not None
    engine = Engine(read_manifest(str(folder)), memory_mb=MEMORY_MB)
    labels = export.dataset.test.labels[:N_CHECK].numpy()
    images = export.dataset.normalise(export.dataset.test.images[:N_CHECK])
    before = {point["id"]: point["exits"]["thresholds"] for point, _ in export.configurations}
    errors, same, worst, measured = [], [], 0.0, dict[str, Point]()
    for name, network in export.networks.items():
        wanted, found = _answers(network, name, engine, images)
        pairs = zip(wanted, found, strict=True)
        worst = max(worst, *(float((a - b).abs().max() / a.abs().max()) for a, b in pairs))
        for point in (point for point, of in own.configurations if of == name):
            float_exits, float_classes = decided(wanted, network, before[point["id"]])
            exits, classes = decided(found, own.networks[name], point["exits"]["thresholds"])
            same.append((exits == float_exits) & (classes == float_classes))
            pair = 100 * (float_classes != labels).mean(), 100 * (classes != labels).mean()
            errors.append(pair)
            measured[point["id"]] = _measured(point, exits, pair[1])
        export.step("check", len(measured), len(export.configurations))
    fp32, int8 = np.mean(errors, axis=0)
    if int8 > fp32 + MAX_LOSS_PCT:
        raise InputError(
            f"int8 answers {int8:.1f} % of {len(labels)} test images wrongly, fp32 {fp32:.1f} %: "
            "this network needs fp16 or fp32; nothing was written"
        )
    told: VerifiedKernels = {
        "runtime": "onnxruntime",
        "images": f"{export.dataset.name} test",
        "n_images": len(labels),
        "max_logit_difference": float(f"{worst:.3g}"),
        "decisions": int(np.size(same)),
        "equal_decisions": int(np.sum(same)),
        "source": MEASURED,
        "fp32_top1_error_pct": round(float(fp32), 3),
        "top1_error_pct": round(float(int8), 3),
    }
    configurations = [(measured[point["id"]], name) for point, name in own.configurations]
    return replace(own, configurations=configurations), told


def _measured(point: Point, exits: Ints, error_pct: float) -> Point:
    """`point` with what int8 did on the test images."""
    rates = [float((exits == k).mean()) for k in range(len(point["exit_rates"]))]
    return {
        **point,
        "top1_error_pct": round(float(error_pct), 4),
        "error_source": MEASURED,
        "exit_rates": [round(rate, 4) for rate in rates],
    }


def _answers(
    network: Network, name: str, engine: Engine, images: Tensor
) -> tuple[list[Tensor], list[Tensor]]:
    """Logits of every exit (N, classes), of the float network and of the quantised one."""
    x = sized(images, network)
    with torch.inference_mode():
        wanted = [
            torch.cat(parts) for parts in zip(*map(network.net, torch.split(x, BATCH)), strict=True)
        ]
    return wanted, [torch.from_numpy(logits) for logits in engine.logits(name, x.numpy())]


def _matched(exits: Ints, logits: list[Tensor], network: Network) -> list[float]:
    """Thresholds by which as many images leave at every exit as in `exits` (N,)."""
    waiting, thresholds = np.ones(len(exits), dtype=bool), []
    pairs = zip(network.net.head_ids[:-1], logits, network.temperatures, strict=False)
    for exit_, answer, temperature in pairs:
        confidence = (answer / temperature).softmax(dim=1).amax(dim=1).numpy().astype(np.float64)
        threshold = _threshold(confidence[waiting], int((exits == exit_).sum()))
        thresholds.append(threshold)
        waiting &= confidence < threshold
    return thresholds


def _threshold(confidence: Floats | NDArray[np.float64], n: int) -> float:
    """The threshold that the `n` largest of `confidence` (N,) reach: between them and the next."""
    if n == 0:
        return 1.0
    if n >= len(confidence):
        return 0.0
    largest = np.sort(confidence)[::-1]
    return round(float(largest[n - 1] + largest[n]) / 2, 6)
