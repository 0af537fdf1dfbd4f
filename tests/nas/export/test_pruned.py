"""A pruned network as an export: with kernels and dense it answers the same."""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

import nas
from nas.export.plan import Network
from nas.export.pruned import work_of
from nas.runtime import Engine, ManifestError, read_manifest
from nas.runtime.program import read_kernels
from search_spaces import InputError
from supernets import Segment, StaticNet
from supernets.checkpoint import CheckpointError
from tests.nas.conftest import nas as command

NETWORK = Path(__file__).parents[2] / "supernets" / "mobilenet_v2.py"


@pytest.fixture(scope="module")
def pruned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MobileNetV2 in torchvision's layout, thin, pruned on the digits for an epoch."""
    folder = tmp_path_factory.mktemp("pruned")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        settings = {"epochs": 1, "batch_size": 500, "updates": 2, "sparsity": 0.8}
        found = nas.prune("tests.supernets.mobilenet_v2:digits", folder / "out", **settings)
    assert found["layers"]["features.2.conv.0.0"]["sparsity"] == pytest.approx(0.8, abs=0.01)
    assert found["top1_pct_before"] >= 0 < found["latency_ms_after"]
    return folder / "out"


@pytest.fixture(scope="module")
def board(pruned: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("board") / "board"
    done = command("export", "--pareto", pruned, "--out", out)
    assert done.code == 0, done.err
    return out


def test_a_layer_that_runs_twice_has_its_weights_once() -> None:
    conv = nn.Conv2d(4, 4, 3, padding=1, bias=False)
    net = StaticNet([Segment(nn.Sequential(conv, conv), nn.Flatten())], [0])
    assert work_of(Network("net00", "own", net, [1.0], (4, 5, 5))) == (2 * 144 * 25, 144)


def test_kernels_and_the_dense_graph_answer_the_same(pruned: Path, board: Path) -> None:
    pytest.importorskip("llvmlite")
    told = json.loads((pruned / "pruned.json").read_text())
    assert told["after_is"] == "exported"
    assert told["latency_ms_after_in_torch"] > told["latency_ms_after"] > 0  # a call for each layer
    manifest = read_manifest(str(board))
    assert manifest.content["verified"]["kernels_max_logit_difference"] < 1e-4
    images = np.random.default_rng(0).standard_normal((3, 1, 8, 8)).astype(np.float32)
    fast, dense = Engine(manifest), Engine(manifest, kernels=False)
    found, wanted = (engine.logits("net00", images)[0] for engine in (fast, dense))
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4 * np.abs(wanted).max())
    assert fast("pruned", images).classes.tolist() == wanted.argmax(1).tolist()
    assert type(fast.sessions("net00-0.onnx")).__name__ == "ProgramSession"


def test_without_llvmlite_it_runs_dense_and_says_what_to_install(
    board: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "llvmlite.binding", None)
    manifest = read_manifest(str(board))
    with pytest.warns(RuntimeWarning, match=r"run dense here: no llvmlite .*; pip install llvml"):
        engine = Engine(manifest)
    assert engine.logits("net00", np.zeros((1, 1, 8, 8), np.float32))[0].shape == (1, 10)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # other providers want no kernels
        Engine(manifest, providers=["CPUExecutionProvider"])


def test_a_program_that_was_changed_is_refused(board: Path, tmp_path: Path) -> None:
    path = board / "net00-0.program.safetensors"
    data = bytearray(path.read_bytes())
    whole = bytes(data)
    data[-1] ^= 1
    path.write_bytes(data)
    try:
        with pytest.raises(ManifestError, match=r"program\.safetensors was changed since"):
            read_manifest(str(board))
    finally:
        path.write_bytes(whole)
    (tmp_path / "kernels.json.gz").write_bytes(b"no zip")
    with pytest.raises(ManifestError, match="has no readable kernels"):
        read_kernels(str(tmp_path / "kernels.json.gz"))


def test_why_nothing_governs_it_is_said(board: Path) -> None:
    assert "no model describes host" in read_manifest(str(board)).content["not_governed"]
    assert "run.pyz govern" not in (board / "README.md").read_text()


def test_no_image_has_no_answer(board: Path) -> None:
    manifest = read_manifest(str(board))
    shape = manifest.content["files"]["net00-0.onnx"]["input"]
    assert len(Engine(manifest)(manifest.ids[0], np.zeros((0, *shape), np.float32)).classes) == 0


def test_what_a_pruned_folder_cannot_give_is_one_line(pruned: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="`traces` is for points of a table"):
        nas.export(pruned, tmp_path / "x", traces=True)
    (tmp_path / "cut").mkdir()
    for name in ("pruned.json", "weights.safetensors"):
        content = (pruned / name).read_bytes()
        (tmp_path / "cut" / name).write_bytes(content[: len(content) - 9])
    with pytest.raises(CheckpointError, match="is no readable safetensors file"):
        nas.export(tmp_path / "cut", tmp_path / "x")


def test_a_network_of_ones_own_stays_as_it_is(tmp_path: Path) -> None:
    """So that one network is pruned again and again, each time from the same weights."""
    from tests.supernets.mobilenet_v2 import digits

    net = digits().train()
    given = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    told: list[int] = []
    settings = {"epochs": 1, "batch_size": 1000, "g": 8, "updates": 1}
    found = nas.prune(
        nn.DataParallel(net), tmp_path / "out", listener=lambda p: told.append(p.step), **settings
    )
    assert found == json.loads((tmp_path / "out" / "pruned.json").read_text())
    assert told == [1]
    assert found["net"] is None
    assert all(torch.equal(tensor, given[name]) for name, tensor in net.state_dict().items())
    assert net.training
    net.load_state_dict(load_file(tmp_path / "out" / "weights.safetensors"))
    weight = net.features[2].conv[0][0].weight
    assert float((weight == 0).float().mean()) == pytest.approx(0.9, abs=0.02)
    with pytest.raises(InputError, match="handed over in Python, so nothing here makes it"):
        nas.export(tmp_path / "out", tmp_path / "board")
    assert torch.isfinite(weight).all()
