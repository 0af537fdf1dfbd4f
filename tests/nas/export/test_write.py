"""Exported folders answer as the supernet does."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest

from nas.pareto import read_pareto
from nas.runtime import Engine, Manifest, ManifestError, read_manifest
from supernets import load_dataset
from supernets.elastic import ElasticLinear
from tests.nas.conftest import Digits, export, nas

# ---- the command ---------------------------------------------------------------------------------


def test_the_front_is_exported_with_its_figures(board: Manifest, run: Path) -> None:
    table = read_pareto(run / "pareto.json")
    assert board.ids == table.content["front"]
    points = {p["id"]: p for p in table.points}
    for configuration in board.content["configurations"]:
        point = points[configuration["id"]]
        for key in ("level", "latency_ms", "latency_source", "energy_mj", "top1_error_pct"):
            assert configuration[key] == point[key]
        network = board.content["networks"][configuration["network"]]
        assert network["subnet"] == point["subnet"]
        assert network["exits"] == [*point["exits"]["after"], 3]
    assert board.content["supernet"] == table.content["supernet"]
    assert board.content["levels"] == table.levels


def test_equal_networks_share_their_files(board: Manifest) -> None:
    networks = board.content["networks"].values()
    assert len({(n["subnet"], tuple(n["exits"])) for n in networks}) == len(networks)
    graphs = [name for name in board.content["files"] if name.endswith(".onnx")]
    assert sum(len(n["segments"]) for n in networks) == len(graphs)
    assert len(networks) < len(board.ids)


def test_the_check_ran_on_real_images(board: Manifest) -> None:
    checked = board.content["verified"]
    assert checked["images"] == "digits validation"
    assert checked["equal_decisions"] == checked["decisions"] == 256 * len(board.ids)
    assert checked["max_logit_difference"] < 1e-4
    assert checked["source"] == "measured"


def test_the_check_counts_the_images_that_there_are(
    run: Path, digits: Digits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nas.export.verify.N_IMAGES", 400)
    first = read_pareto(run / "pareto.json").content["front"][0]
    done = nas(
        *("export", "--pareto", run / "pareto.json", "--id", first, "--data", "digits"),
        *("--supernet", digits.supernet, "--out", tmp_path / "board"),
    )
    checked = read_manifest(str(tmp_path / "board")).content["verified"]
    assert (checked["n_images"], checked["decisions"]) == (300, 300)
    assert "ONNX Runtime on 300 images (digits validation)" in " ".join(done.err.split())


def test_the_board_is_as_accurate_as_the_table_says(board: Manifest) -> None:
    """All validation images, raw pixels in, through every exported configuration."""
    data = load_dataset(None).validation
    engine = Engine(board)
    x = board.normalise(data.images.numpy())
    for configuration in board.content["configurations"]:
        answers = engine(configuration["id"], x)
        error = 100 * float((answers.classes != data.labels.numpy()).mean())
        if configuration["error_source"] == "measured":
            assert error == pytest.approx(configuration["top1_error_pct"], abs=1.0)
            rates = [float((answers.exits == k).mean()) for k in range(4)]
            assert rates == pytest.approx(configuration["exit_rates"], abs=0.02)


def test_the_engine_stops_and_only_loads_what_it_runs(board: Manifest) -> None:
    early = [c for c in board.content["configurations"] if c["after"]]
    assert early
    chosen = early[0]
    chosen["thresholds"], kept = [0.0] * len(chosen["after"]), chosen["thresholds"]
    engine = Engine(board)
    answers = engine(chosen["id"], np.zeros((5, 1, 8, 8), np.float32))
    chosen["thresholds"] = kept
    assert set(answers.exits) == {chosen["after"][0]}
    assert engine.sessions.files == board.network(chosen["id"])["segments"][:1]


def test_a_cache_of_statistics_replaces_the_images(
    run: Path, digits: Digits, cache: Path, board: Manifest, tmp_path: Path
) -> None:
    both = export(run, digits, tmp_path / "b", "--fp16", "--precision", "fp32")
    assert both.err == "error: --fp16 and --precision fp32 were asked; leave one out\n"
    (tmp_path / "empty").mkdir()
    (tmp_path / "b").symlink_to(tmp_path / "empty")  # the folder may be behind a link
    found = export(run, digits, tmp_path / "b", "--bn-cache", cache, "--id", board.ids[0])
    assert found.code == 0, found.err
    assert "(noise)" in found.err
    mine, theirs = Engine(read_manifest(str(tmp_path / "b"))), Engine(board)
    data = load_dataset(None).validation
    x = board.normalise(data.images.numpy())
    a, b = mine(board.ids[0], x), theirs(board.ids[0], x)
    assert (a.classes == b.classes).mean() > 0.97  # statistics are kept in half precision


def test_half_precision_halves_the_files(
    run: Path, digits: Digits, board: Manifest, tmp_path: Path
) -> None:
    out = tmp_path / "half"
    id_ = board.ids[0]
    more = "--data", "digits", "--fp16", "--standalone", "--id", id_, "--json"
    found = export(run, digits, out, *more)
    assert found.code == 0, found.err
    content = json.loads(found.out)
    assert content["precision"] == "fp16"
    assert content["verified"]["max_logit_difference"] < 5e-2
    half = sum(f["bytes"] for name, f in content["files"].items() if name.endswith(".onnx"))
    whole = sum(board.content["files"][f]["weight_bytes"] for f in board.network(id_)["segments"])
    assert half < 0.7 * whole
    text = (out / "README.md").read_text()
    assert "--fp16" in text
    graphs = {name: d for name, d in content["files"].items() if name.endswith(".onnx")}
    for name, described in graphs.items():
        sides = "x".join(map(str, described["input"]))
        assert f"trtexec --onnx={name} " in text
        assert f"--maxShapes=input:8x{sides}" in text


# ---- one set of weights --------------------------------------------------------------------------


def test_a_folder_holds_the_weights_once(board: Manifest) -> None:
    content, folder = board.content, Path(board.folder)
    weights = folder / content["shared"]["weights"]
    assert content["files"][weights.name]["sha256"] == content["supernet"]["sha256"]
    assert len(content["networks"]) > 1
    for network in content["networks"].values():
        for file in network["segments"]:
            assert content["files"][file]["bytes"] < 6000
            for weight in onnx.load(folder / file, load_external_data=False).graph.initializer:
                assert weight.data_location == onnx.TensorProto.EXTERNAL


def test_answers_are_those_of_the_standalone_export(
    run: Path, digits: Digits, board: Manifest, tmp_path: Path
) -> None:
    id_ = next(c["id"] for c in board.content["configurations"] if c["after"])
    common = "--data", "digits", "--standalone", "--id", id_
    assert export(run, digits, tmp_path / "b", *common).code == 0
    alone = read_manifest(str(tmp_path / "b"))
    assert "shared" not in alone.content
    x = np.random.default_rng(0).standard_normal((9, 1, 8, 8)).astype(np.float32)
    mine = Engine(board).logits(board.configuration(id_)["network"], x)
    theirs = Engine(alone).logits("net00", x)
    for a, b in zip(mine, theirs, strict=True):
        assert np.abs(a - b).max() <= 1e-6 * np.abs(b).max()


def test_little_memory_changes_no_answer(board: Manifest) -> None:
    plenty, little = Engine(board), Engine(board, memory_mb=0.2)
    x = np.random.default_rng(0).standard_normal((3, 1, 8, 8)).astype(np.float32)
    for id_ in board.ids[:12]:
        little.foresee(board.ids)
        np.testing.assert_array_equal(little(id_, x).confidence, plenty(id_, x).confidence)
    little.sessions.settle()
    assert len(little.sessions.files) < len(plenty.sessions.files)
    with pytest.raises(ManifestError, match="`memory_mb` must be positive, got 0"):
        Engine(board, memory_mb=0)


def test_a_layer_without_slices_has_its_weights_inside(
    run: Path, digits: Digits, board: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(ElasticLinear, "slices")  # as a layer of one's own
    found = export(run, digits, tmp_path / "b", "--data", "digits", "--id", board.ids[0])
    assert found.code == 0, found.err
    assert "networks keep weights of their own: a layer of type ElasticLinear has no" in found.err
    assert "shared" not in read_manifest(str(tmp_path / "b")).content


@pytest.mark.parametrize("file", ["weights", "statistics", "slices"])
def test_a_damaged_file_is_refused(board: Manifest, tmp_path: Path, file: str) -> None:
    shutil.copytree(board.folder, tmp_path / "b")
    path = tmp_path / "b" / board.content["shared"][file]  # type: ignore[literal-required]
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(data)
    with pytest.raises(ManifestError, match=f"{path.name} was changed since it was exported"):
        read_manifest(str(tmp_path / "b"))
    path.unlink()
    with pytest.raises(ManifestError, match=f"{path.name} is missing; copy the whole"):
        read_manifest(str(tmp_path / "b"))
