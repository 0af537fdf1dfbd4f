"""A manifest finds its configurations by id and by level, and refuses folders it cannot use."""

from __future__ import annotations

import hashlib
import json
import timeit
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from nas.runtime import Manifest, ManifestError, read_manifest
from nas.runtime.checks import content_sha256
from nas.runtime.records import ManifestContent


def content(n: int = 6) -> ManifestContent:
    """`n` configurations of two networks, three a level."""
    networks = {
        f"net{i}": {
            "subnet": f"s{i}",
            "exits": [0, 2],
            "temperatures": [1.25, 0.75],
            "segments": [f"net{i}-0.onnx", f"net{i}-1.onnx"],
        }
        for i in range(2)
    }
    configurations = [
        {
            "id": f"c{i}",
            "level": i // 3,
            "network": f"net{i % 2}",
            "after": [0],
            "thresholds": [i / n],
            "top1_error_pct": 5.5,
            "latency_ms": 1.5,
            "energy_mj": 3.25,
            "exit_rates": [0.5, 0.0, 0.5],
        }
        for i in range(n)
    ]
    described: dict[str, Any] = {
        "schema": "nas.manifest/1",
        "input": {"mean": [0.5], "std": [0.25], "classes": None},
        "networks": networks,
        "configurations": configurations,
        "files": {
            file: {"sha256": hashlib.sha256(file.encode()).hexdigest(), "input": [1, 8, 8]}
            for network in networks.values()
            for file in network["segments"]
        },
    }
    return cast(ManifestContent, described)


def test_configurations_are_found_as_a_walk_through_the_file_finds_them() -> None:
    described = content()
    manifest = Manifest("board", described)
    assert manifest.ids == [c["id"] for c in described["configurations"]]
    for configuration in described["configurations"]:
        assert manifest.configuration(configuration["id"]) is configuration
        network = described["networks"][configuration["network"]]
        assert manifest.network(configuration["id"]) is network
    for level in range(3):
        walked = [c for c in described["configurations"] if c["level"] == level]
        assert manifest.at(level) == walked


def test_a_look_up_does_not_slow_down_with_the_table() -> None:
    """Walking 360 configurations cost 28 us an inference; 36 times the entries cost the same."""
    seconds = []
    for n in (10, 360):
        manifest = Manifest("board", content(n))
        last = manifest.ids[-1]
        seconds.append(min(timeit.repeat(lambda: manifest.network(last), number=500, repeat=9)))  # noqa: B023
    assert seconds[1] < 5 * seconds[0]


def test_an_unknown_id_is_told_with_a_few_known_ones() -> None:
    with pytest.raises(ManifestError, match="no configuration 'x' in board: it has 6, such as c0"):
        Manifest("board", content()).configuration("x")


def test_images_are_normalised_as_the_file_says() -> None:
    images = np.full((1, 1, 2, 2), 255, np.uint8)
    manifest = Manifest("board", content())
    np.testing.assert_allclose(manifest.normalise(images), np.full((1, 1, 2, 2), 2.0))
    manifest.content["input"]["mean"] = None
    with pytest.raises(ManifestError, match="does not say how images are normalised"):
        manifest.normalise(images)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "does not exist; `nas export` writes one"),
        ("{", "is no readable manifest"),
        ("[]", "has schema None, expected 'nas.manifest/1'"),
        (json.dumps({"schema": "nas.manifest/1", "input": {}}), "input.mean is missing; export"),
        ("[" * 100_000, "is nested too deep"),
    ],
)
def test_what_is_no_manifest_is_refused(tmp_path: Path, text: str | None, message: str) -> None:
    if text is not None:
        (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(ManifestError, match=message) as caught:
        read_manifest(str(tmp_path))
    assert "\n" not in str(caught.value)


def folder(path: Path, described: dict[str, Any]) -> str:
    """An exported folder whose segments hold their own names."""
    (path / "manifest.json").write_text(json.dumps(described))
    for network in content()["networks"].values():
        for file in network["segments"]:
            (path / file).write_text(file)
    return str(path)


def test_files_are_compared_with_their_checksums(tmp_path: Path) -> None:
    assert read_manifest(folder(tmp_path, {**content()})).ids == [f"c{i}" for i in range(6)]
    (tmp_path / "net1-0.onnx").write_bytes(b"b")
    with pytest.raises(ManifestError, match=r"net1-0\.onnx was changed since it was exported"):
        read_manifest(str(tmp_path))
    (tmp_path / "net1-0.onnx").unlink()
    with pytest.raises(ManifestError, match=r"net1-0\.onnx is missing; copy the whole exported"):
        read_manifest(str(tmp_path))
    (tmp_path / "net1-0.onnx").symlink_to(tmp_path / "net0-0.onnx")
    with pytest.raises(ManifestError, match=r"net1-0\.onnx is no file but a link"):
        read_manifest(str(tmp_path))


def test_a_manifest_has_a_checksum_of_its_own(tmp_path: Path) -> None:
    described: dict[str, Any] = {**content()}
    described["content_sha256"] = content_sha256(described)
    assert read_manifest(folder(tmp_path, described)).ids
    described["networks"]["net0"]["temperatures"] = [1.5, 0.75]
    with pytest.raises(ManifestError, match="was changed since it was exported: its content"):
        read_manifest(folder(tmp_path, described))


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (("input", "mean"), [float("nan")], r"input\.mean\[0\] is nan; expected a finite number"),
        (("input", "mean"), [0.5, 0.5], r"expected one number for each of 1 channels"),
        (("input", "std"), [0], r"input\.std\[0\] is 0; expected a finite number above 0"),
        (("networks", "net0", "temperatures", 0), -1, r"temperatures\[0\] is -1; expected"),
        (("networks", "net0", "temperatures"), [1], r"expected 2, one for each segment"),
        (("networks", "net0", "exits"), [9, 9], r"exits is \[9, 9\]; expected numbers of exits"),
        (("networks", "net0", "segments", 0), "/tmp/a.onnx", r"expected a plain name of a file"),
        (("networks", "net0", "segments", 0), "../a.onnx", r"expected a plain name of a file"),
        (("networks", "net0", "segments", 0), "other.onnx", r"expected one of `files`"),
        (("files", "../a"), {"sha256": "0" * 64}, r"a key of files is '\.\./a'; expected a plain"),
        (("files", "net0-0.onnx", "sha256"), "7", r"net0-0\.onnx\.sha256 is '7'; expected"),
        (("configurations", 0, "thresholds", 0), 17, r"is 17; expected .* at most 1"),
        (("configurations", 0, "thresholds", 0), True, r"is True; expected a finite number"),
        (("configurations", 0, "after"), [1], r"expected the early exits of its network, \[0\]"),
        (("configurations", 0, "network"), "x", r"network is 'x'; expected one of `networks`"),
        (("configurations", 1, "id"), "c0", r"configurations\[1\]\.id is 'c0'; expected another"),
        (("configurations", 0, "latency_ms"), 10**400, r"latency_ms is 1000.*; expected a finite"),
        (("governing",), {"mhz": [1.0], "idle_w": [1, 2], "configurations": []}, "not empty"),
    ],
)
def test_what_cannot_be_is_named_with_its_place(
    tmp_path: Path, place: tuple[Any, ...], value: object, message: str
) -> None:
    described: Any = content()
    *way, last = place
    inner = described
    for key in way:
        inner = inner[key]
    inner[last] = value
    with pytest.raises(ManifestError, match=message) as caught:
        read_manifest(folder(tmp_path, described))
    assert "\n" not in str(caught.value)
