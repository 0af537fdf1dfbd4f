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
from nas.runtime.records import ManifestContent


def content(n: int = 6) -> ManifestContent:
    """`n` configurations of two networks, three a level."""
    networks = {f"net{i}": {"subnet": f"s{i}", "segments": [f"net{i}-0.onnx"]} for i in range(2)}
    configurations = [
        {"id": f"c{i}", "level": i // 3, "network": f"net{i % 2}", "thresholds": [i / n]}
        for i in range(n)
    ]
    described: dict[str, Any] = {
        "schema": "nas.manifest/1",
        "input": {"mean": [0.5], "std": [0.25], "classes": None},
        "networks": networks,
        "configurations": configurations,
        "files": {},
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
        (json.dumps({"schema": "nas.manifest/1", "input": {}}), "has no networks, configurations"),
    ],
)
def test_what_is_no_manifest_is_refused(tmp_path: Path, text: str | None, message: str) -> None:
    if text is not None:
        (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(ManifestError, match=message) as caught:
        read_manifest(str(tmp_path))
    assert "\n" not in str(caught.value)


def test_files_are_compared_with_their_checksums(tmp_path: Path) -> None:
    described: dict[str, Any] = {**content()}
    described["files"] = {"a.onnx": {"sha256": hashlib.sha256(b"a").hexdigest()}}
    (tmp_path / "manifest.json").write_text(json.dumps(described))
    with pytest.raises(ManifestError, match=r"a\.onnx is missing; copy the whole exported folder"):
        read_manifest(str(tmp_path))
    (tmp_path / "a.onnx").write_bytes(b"a")
    assert read_manifest(str(tmp_path)).ids == [f"c{i}" for i in range(6)]
    (tmp_path / "a.onnx").write_bytes(b"b")
    with pytest.raises(ManifestError, match=r"a\.onnx was changed since it was exported"):
        read_manifest(str(tmp_path))
