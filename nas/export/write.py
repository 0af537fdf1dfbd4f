"""An export as a folder: segments, manifest, README; in place only once it is verified."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import onnx
import torch

from nas.export.carry import START, write_start
from nas.export.every_level import governing
from nas.export.int8 import fitted, quantised_segments, verified
from nas.export.kernels import write_kernels
from nas.export.plan import Export, Network
from nas.export.readme import readme
from nas.export.shared import not_shared, write_shared
from nas.export.traces import export_traces
from nas.export.verify import verify_export
from nas.files import check_new, new_folder
from nas.onnx.graph import OPSET, segment_model, without_weights
from nas.pareto import Point
from nas.pareto.records import OwnClocks
from nas.runtime.checks import content_sha256
from nas.runtime.records import (
    Configuration,
    FileEntry,
    InputEntry,
    ManifestContent,
    NetworkEntry,
)
from nas.version import __version__
from search_spaces import InputError, get_space
from supernets import Segment

PRECISIONS = ("fp32", "fp16", "int8")


def check_asked(out: Path, precision: str) -> None:
    """InputError for what can be refused before statistics are measured, which takes minutes."""
    if precision not in PRECISIONS:
        raise InputError(f"`precision` must be one of {', '.join(PRECISIONS)}, got {precision!r}")
    check_new(out)


def write_export(
    export: Export, out: Path, precision: str = "fp32", *, command: str = ""
) -> ManifestContent:
    """Write `export` in fp32, fp16 or int8 to the new folder `out`; returns the manifest.

    InputError: `out` holds something already, ONNX Runtime answers differently, or int8 is asked
    of an export without images.
    """
    check_asked(out, precision)
    if precision == "int8" and (export.dataset is None or export.traces is not None):
        raise InputError(
            "`traces` are of float networks: export them without int8"
            if export.dataset is not None
            else "int8 takes its ranges and thresholds from images: give `data` with those of the "
            "supernet"
        )
    with new_folder(out) as aside:
        return _write(export, aside, precision=precision, command=command)


def _write(export: Export, folder: Path, *, precision: str, command: str) -> ManifestContent:
    files: dict[str, FileEntry] = {}
    networks = _networks(export, folder, files, precision)
    content: ManifestContent = {
        "schema": "nas.manifest/1",
        "command": command,
        "versions": {"nas": __version__, "onnx": onnx.__version__, "torch": torch.__version__},
        "opset": OPSET,
        "precision": precision,
        "supernet": {**export.supernet},
        "device": {**export.table.content["device"]},
        "levels": [{**level} for level in export.table.levels],
        "input": _input(export),
        "networks": networks,
        "configurations": [_configuration(point, name) for point, name in export.configurations],
        "files": files,
    }
    _add_shared(content, export, folder)
    if precision == "fp32":
        _add_kernels(content, export, folder)
    files[START] = _described(folder / write_start(folder))
    _dump(content, folder)  # the check reads the folder as a board does
    if precision == "int8":
        export, content["verified"] = verified(export, fitted(export, folder), folder)
        content["configurations"] = [_configuration(*pair) for pair in export.configurations]
        for name, network in export.networks.items():
            content["networks"][name]["temperatures"] = network.temperatures
    else:
        content["verified"] = verify_export(export, folder, precision=precision)
    _add_governing(content, export)
    _add_traces(content, export, folder)
    _dump(content, folder)
    (folder / "README.md").write_text(readme(content), encoding="utf-8")
    return content


def _configuration(point: Point, network: str) -> Configuration:
    own: OwnClocks = {}
    if "cpu_mhz" in point:
        own = {"cpu_mhz": point["cpu_mhz"], "emc_mhz": point["emc_mhz"]}
    return {
        "id": point["id"],
        "level": point["level"],
        **own,
        "top1_error_pct": point["top1_error_pct"],
        "error_source": point["error_source"],
        "latency_ms": point["latency_ms"],
        "latency_worst_ms": point["latency_worst_ms"],
        "latency_source": point["latency_source"],
        "energy_mj": point["energy_mj"],
        "energy_source": point["energy_source"],
        "exit_rates": point["exit_rates"],
        "macs": point["macs"],
        "params": point["params"],
        "after": point["exits"]["after"],
        "thresholds": point["exits"]["thresholds"],
        "network": network,
    }


def _add_shared(content: ManifestContent, export: Export, folder: Path) -> None:
    """The weights that all networks share, and in words why some do not."""
    if any(network.slices is not None for network in export.networks.values()):
        content["shared"] = shared = write_shared(export, folder)
        for name in (shared["weights"], shared["statistics"], shared["slices"]):
            content["files"][name] = _described(folder / name)
    if export.shares and (why := not_shared(export)):
        content["not_shared"] = why


def _add_kernels(content: ManifestContent, export: Export, folder: Path) -> None:
    """Kernels of pruned networks, and in words why some have none."""
    names, why = write_kernels(export.networks.values(), folder)
    for name in names:
        content["files"][name] = _described(folder / name)
    if names:
        content["kernels"] = names[0]
    if why:
        content["no_kernels"] = why


def _add_governing(content: ManifestContent, export: Export) -> None:
    """What a governor needs, or in words why it is not there."""
    try:
        content["governing"] = governing(
            export.table,
            [p for p, _ in export.configurations],
            get_space(str(export.weights)) if export.weights.name else None,
        )
    except InputError as why:
        content["governing"], content["not_governed"] = None, str(why)


def _add_traces(content: ManifestContent, export: Export, folder: Path) -> None:
    if export.traces is not None:
        checksum = export_traces(folder / "traces.npz", export.traces)
        content["traces"] = {"file": "traces.npz", **export.traces.about, "sha256": checksum}


def _dump(content: ManifestContent, folder: Path) -> None:
    content["content_sha256"] = content_sha256({**content})
    (folder / "manifest.json").write_text(json.dumps(content, indent=1) + "\n")


def _input(export: Export) -> InputEntry:
    """How images become inputs; null where the checkpoint does not say."""
    known = export.data or {}
    return {
        "mean": known.get("mean"),
        "std": known.get("std"),
        "classes": known.get("classes"),
        "dtype": "float32",
        "layout": "NCHW",
    }


def _networks(
    export: Export, folder: Path, files: dict[str, FileEntry], precision: str
) -> dict[str, NetworkEntry]:
    """Write the segments of every network; what the manifest says of the networks."""
    written: dict[str, NetworkEntry] = {}
    for name, network in export.networks.items():
        shapes, models = _models(network, half=precision == "fp16")
        if precision == "int8":
            assert export.dataset is not None
            graphs = quantised_segments(network, export.dataset)
            export.step("quantise", len(written) + 1, len(export.networks))
        else:
            graphs = [model.SerializeToString() for model in models]
        entry: NetworkEntry = {
            "subnet": network.subnet,
            "exits": network.net.head_ids,
            "temperatures": network.temperatures,
            "segments": [f"{name}-{i}.onnx" for i in range(len(graphs))],
        }
        if network.subnet in export.batch_norm.of:
            entry["statistics"] = export.batch_norm.source(network.subnet)
        for i, (file, graph) in enumerate(zip(entry["segments"], graphs, strict=True)):
            (folder / file).write_bytes(graph)
            outputs = ["logits"] if i == len(graphs) - 1 else ["features", "logits"]
            files[file] = {**_described(folder / file), "input": shapes[i], "outputs": outputs}
            if network.slices is not None:
                weights = network.net.segments[i].state_dict().values()
                n_bytes = 2 if precision == "fp16" else 4
                files[file]["weight_bytes"] = sum(w.numel() for w in weights) * n_bytes
        written[name] = entry
    return written


def _models(network: Network, *, half: bool) -> tuple[list[list[int]], list[onnx.ModelProto]]:
    """What every segment takes (C, H, W), and its graph, without weights where they are shared."""
    shapes, models = [], []
    value = torch.zeros(1, *network.input_shape)
    for i, segment in enumerate(network.net.segments):
        assert isinstance(segment, Segment)
        shapes.append(list(value.shape[1:]))
        last = i == len(network.net.segments) - 1
        model, value = segment_model(segment, value, last=last, half=half)
        models.append(model if network.slices is None else without_weights(model))
    return shapes, models


def _described(path: Path) -> FileEntry:
    data = path.read_bytes()
    return {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
