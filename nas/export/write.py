"""An export as a folder: segments, manifest, README; in place only once it is verified."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path

import onnx
import torch

from nas.export.carry import START, write_start
from nas.export.every_level import governing
from nas.export.kernels import write_kernels
from nas.export.plan import Export, Network
from nas.export.shared import not_shared, write_shared
from nas.export.traces import export_traces
from nas.export.verify import verify_export
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


def write_export(
    export: Export, out: Path, *, half: bool = False, command: str = ""
) -> ManifestContent:
    """Write `export` to the new folder `out`; returns the manifest.

    InputError: `out` holds something already, or ONNX Runtime answers differently.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out} exists already; choose another `out` or remove it")
    aside = out.with_name(out.name + ".tmp")
    shutil.rmtree(aside, ignore_errors=True)
    try:
        aside.mkdir(parents=True)
    except OSError as error:
        raise InputError(f"cannot write to {out}: {error.strerror}; choose another `out`") from None
    try:
        manifest = _write(export, aside, half=half, command=command)
        if out.exists():
            out.rmdir()
        os.replace(aside, out)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return manifest


def _write(export: Export, folder: Path, *, half: bool, command: str) -> ManifestContent:
    files: dict[str, FileEntry] = {}
    precision = "fp16" if half else "fp32"
    networks = {
        name: _network(network, folder, files, half=half)
        for name, network in export.networks.items()
    }
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
    if not half:
        _add_kernels(content, export, folder)
    files[START] = _described(folder / write_start(folder))
    _add_governing(content, export)
    _add_traces(content, export, folder)
    _dump(content, folder)  # the check reads the folder as a board does
    content["verified"] = verify_export(export, folder, precision=precision)
    _dump(content, folder)
    (folder / "README.md").write_text(readme(content))
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
            get_space(str(export.weights)),
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


def _network(
    network: Network, folder: Path, files: dict[str, FileEntry], *, half: bool
) -> NetworkEntry:
    segments = []
    value = torch.zeros(1, *network.input_shape)
    for i, segment in enumerate(network.net.segments):
        assert isinstance(segment, Segment)
        last = i == len(network.net.segments) - 1
        shape = list(value.shape[1:])
        model, value = segment_model(segment, value, last=last, half=half)
        name = f"{network.name}-{i}.onnx"
        if network.slices is not None:
            model = without_weights(model)
        (folder / name).write_bytes(model.SerializeToString())
        files[name] = {
            **_described(folder / name),
            "input": shape,
            "outputs": ["logits"] if last else ["features", "logits"],
        }
        if network.slices is not None:
            weights = segment.state_dict().values()
            files[name]["weight_bytes"] = sum(w.numel() for w in weights) * (2 if half else 4)
        segments.append(name)
    return {
        "subnet": network.subnet,
        "exits": network.net.head_ids,
        "temperatures": network.temperatures,
        "segments": segments,
    }


def _described(path: Path) -> FileEntry:
    data = path.read_bytes()
    return {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}


def readme(content: ManifestContent) -> str:
    """What a person needs on the board."""
    device, verified = content["device"], content["verified"]
    lines = [
        f"# {content['supernet']['name']} for {device['name']}",
        "",
        f"{len(content['configurations'])} configurations over {len(content['networks'])} networks "
        f"in {content['precision']}, exported by `{content['command']}`. `manifest.json` has their "
        "levels, thresholds, expected costs and where each figure comes from.",
        "",
        f"Checked with ONNX Runtime on {verified['n_images']} images ({verified['images']}): "
        f"logits differ by at most {verified['max_logit_difference']:g}, "
        f"{verified['equal_decisions']} of {verified['decisions']} decisions are equal.",
        "",
        "## Run it",
        "",
        "A network is a chain of segments, one per exit. Run the first; where the largest "
        "probability of softmax(logits / temperature) reaches the threshold, stop; otherwise give "
        "its `features` to the next one. `run.pyz` does that with Python 3.8 or later, numpy and "
        "onnxruntime alone:",
        "",
        "```sh",
        "python3 run.pyz classify image.png",
        "python3 run.pyz benchmark",
        "python3 run.pyz govern --target-ms 20 --floor-error-pct 9",
        "python3 run.pyz --help",
        "```",
        "",
        *_for_kernels(content),
        "From a program of your own:",
        "",
        "```python",
        "import sys",
        "",
        'sys.path.insert(0, "run.pyz")',
        "from nas.runtime import Engine, read_manifest",
        "",
        'manifest = read_manifest(".")',
        "engine = Engine(manifest)",
        "answers = engine(manifest.ids[0], manifest.normalise(images))  # uint8, NCHW",
        "```",
        "",
        "## TensorRT",
        "",
        *_for_tensorrt(content),
        "",
    ]
    return "\n".join(lines)


def _for_kernels(content: ManifestContent) -> list[str]:
    if "kernels" not in content:
        return []
    return [
        "Pruned networks run on the CPU with kernels where llvmlite is installed (`pip install "
        "llvmlite`), and dense, with the same answers, where it is not.",
        "",
    ]


def _for_tensorrt(content: ManifestContent) -> list[str]:
    if "shared" in content:
        return [
            "It reads graphs with their weights inside: `nas export --standalone` writes those. "
            "Here they stand once, in `weights.safetensors`; `slices.json` says how every graph "
            "takes its own from them."
        ]
    fp16 = " --fp16" if content["precision"] == "fp16" else ""
    return [
        "One engine per segment, for batches of 1 to 8 images:",
        "",
        "```sh",
        *(_trtexec(name, f["input"], fp16) for name, f in content["files"].items() if "input" in f),
        "```",
    ]


def _trtexec(name: str, shape: list[int], fp16: str) -> str:
    sides = "x".join(map(str, shape))
    shapes = " ".join(
        f"--{kind}Shapes=input:{batch}x{sides}"
        for kind, batch in (("min", 1), ("opt", 1), ("max", 8))
    )
    return f"trtexec --onnx={name} --saveEngine={name.removesuffix('.onnx')}.plan {shapes}{fp16}"
