"""What a board reads, and what it says."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np

from nas.board.bench.link import Link
from nas.board.bench.rows import Rows
from nas.board.bench.trtexec import _read_notes, read_times
from nas.board.control.journal import Journal
from nas.board.control.sysfs import Sysfs
from nas.devices import load_profile
from nas.remote.messages import read_message
from nas.runtime import read_manifest
from nas.runtime.arrivals import read_arrivals
from nas.runtime.checks import content_sha256
from nas.runtime.traces import Traces, read_traces, write_traces
from tests.formats.kind import DIGEST, REPO, Format, text
from tests.nas.runtime.test_manifest import content as small_manifest

PLAN = '{"plan": {"device": {}}}\n{"task": {"id": "a"}}\n{"end": true}\n'


def journal(path: Path) -> None:
    path.parent.chmod(0o700)
    path.write_text('{"pid": 1, "boot": "b"}\n{"path": "/sys/a/min_freq", "old": "1"}\n')
    path.chmod(0o600)


def row_line(path: Path) -> None:
    row = {"id": "a", "latency_ms": 1.5, "n_runs": 100, "pinned": ["gpu"], "gpu_mhz": 5}
    path.write_text(json.dumps({"row": row}) + "\n")


def read_lines(path: Path) -> list[Any]:
    return [read_message(part) for part in path.read_bytes().splitlines()]


def read_plan(path: Path) -> Any:
    link = Link(io.FileIO("/dev/null", "w"))
    with io.FileIO(path) as file:
        link.source = file
        return link.plan()


def manifest(path: Path) -> None:
    content: dict[str, Any] = {**small_manifest()}
    content["content_sha256"] = content_sha256(content)
    path.write_text(json.dumps(content, indent=1))
    for file in content["files"]:
        (path.parent / file).write_text(file)


def read_folder(path: Path) -> Any:
    content = read_manifest(str(path.parent)).content
    return [content[key] for key in ("input", "networks", "configurations", "files")]


def traces(path: Path) -> None:
    confidence = np.linspace(0, 1, 24, dtype=np.float32).reshape(2, 4, 3)
    write_traces(str(path), Traces({"n_images": 4}, ["a", "b"], confidence, confidence > 0.5))


def read_them(path: Path) -> Any:
    found = read_traces(str(path))
    return found.subnets, found.confidence.tolist(), found.correct.tolist()


FORMATS = {
    "profile": Format(
        "nano.toml",
        lambda p: p.write_bytes((REPO / "nas/devices/profiles/nano.toml").read_bytes()),
        lambda p: load_profile(str(p)).name,
        100,
    ),
    "board's journal": Format(
        "clocks.journal", journal, lambda p: Journal(Sysfs(str(p.parent)), str(p)).close(), 300
    ),
    "board's line": Format("line.json", row_line, read_lines, 150),
    "board's rows": Format("rows.jsonl", row_line, lambda p: Rows(str(p)).fresh(), 130),
    "plan for a board": Format("plan.jsonl", text(PLAN), read_plan, 130),
    "trtexec's times": Format(
        "times.json", text('[{"latencyMs": 1.5}]'), lambda p: read_times(str(p)), 300
    ),
    "trtexec's notes": Format(
        "engine.notes", text('["a"]'), lambda p: _read_notes(str(p.with_suffix(""))), 150
    ),
    "manifest": Format("manifest.json", manifest, read_folder, 300, vouched=DIGEST),
    "segment": Format(
        "net0-0.onnx", lambda p: manifest(p.parent / "manifest.json"), read_folder, 100, vouched=b""
    ),
    "exit traces": Format("traces.npz", traces, read_them, 200, vouched=b""),
    "arrivals": Format(
        "arrivals.csv", text("0,1\n16.7,2\n33,1\n"), lambda p: read_arrivals(str(p)), 200
    ),
}
