"""Sparsity of stages from training to the engine: searched here, exported with kernels."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from nas.export.kernels import FILE, write_kernels
from nas.export.plan import Network
from nas.runtime import Engine, read_manifest
from nas.runtime.program import ProgramSession, read_kernels
from nas.runtime.tensors import read_tensors
from search_spaces import UnitRatioSpace, get_space, resnet_digits
from supernets import extract, random_supernet, save_supernet
from tests.nas.conftest import Digits, nas, refused

pytest.importorskip("llvmlite")


SPACE = get_space("resnet-digits-blocks4-20.100")
PATTERNS = ((20,) * 19, (100,) * 19)


@torch.inference_mode()
def test_the_pruned_segments_alone_get_programs(tmp_path: Path) -> None:
    subnet = SPACE.subnet([*SPACE.smallest[0][:-4], 100, 20, 20, 100])
    net = extract(random_supernet(SPACE), subnet, heads=[0, 3]).fold()
    network = Network("net00", str(subnet), net, [1.0, 1.0], (1, 8, 8), block=net.block_rows)
    names, why = write_kernels([network], tmp_path)
    assert (names, why) == ([FILE, "net00-1.program.safetensors"], "")
    tensors = read_tensors(str(tmp_path / names[1]))
    session = ProgramSession(read_kernels(str(tmp_path / FILE)), "net00-1.onnx", tensors)
    x = torch.randn(2, *SPACE.input_shape(subnet))
    between, _ = net.segments[0](x)
    (found,) = session.run(None, {"input": between.numpy()})
    torch.testing.assert_close(torch.from_numpy(found), net(x)[1], rtol=1e-4, atol=1e-5)


@torch.inference_mode()
def test_a_ratio_of_patterns_runs_as_blocks_of_its_rows(tmp_path: Path) -> None:
    space = UnitRatioSpace.of(resnet_digits(), (200, 1000), "pattern", densities=PATTERNS)
    small, full = (extract(random_supernet(space), space.subnet([r])).fold() for r in (200, 1000))
    networks = [
        Network(name, "", net, [1.0] * 4, (1, 8, 8), block=net.block_rows)
        for name, net in (("small", small), ("full", full))
    ]
    names, why = write_kernels(networks, tmp_path)
    assert why == ""
    assert names[1:] == [f"small-{i}.program.safetensors" for i in range(4)]  # full is dense
    kernels = read_kernels(str(tmp_path / FILE))
    x = between = torch.randn(2, 1, 8, 8)
    for i, wanted in enumerate(small(x)):
        tensors = read_tensors(str(tmp_path / names[1 + i]))
        session = ProgramSession(kernels, f"small-{i}.onnx", tensors)
        *features, found = session.run(None, {"input": between.numpy()})
        torch.testing.assert_close(torch.from_numpy(found), wanted, rtol=1e-4, atol=1e-4)
        between = torch.from_numpy(features[0]) if features else between


@pytest.fixture(scope="module")
def net(digits: Digits, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The digits' supernet, its stages pruned by 0, 70 or 90 % and trained for an epoch more."""
    out = tmp_path_factory.mktemp("blocks") / "net"
    train = (
        f"supernet train --kind blocks --start {digits.supernet} --sparsities 0,.7,.9 --epochs 1"
    )
    quick = ["--batch-size", 500, "--threads", 1, "--quiet"]
    assert nas(*train.split(), *quick, "--out", out).code == 0
    evaluate = "supernet evaluate --samples 20 --quiet"
    assert nas(*evaluate.split(), out).code == 0
    return out


@pytest.mark.slow
def test_a_search_measures_sparsity_here_and_the_engine_runs_it(net: Path, tmp_path: Path) -> None:
    rows, run, board = tmp_path / "rows.csv", tmp_path / "run", tmp_path / "board"
    search = ["search", "--device", "host", "--supernet", net, "--trials", 20, "--quiet"]
    search += ["--out", run]
    refused(nas(*search), "no analytic model has a figure for the pruned layers", "--proxy")
    measure = ["measure", "--device", "host", "--space", net, "--samples", 5, "--seconds", 0.001]
    assert nas(*measure, "--quiet", "--out", rows).code == 0
    done = nas(*search, "--proxy", rows)
    assert done.code == 0, done.err
    content = json.loads((run / "pareto.json").read_text())
    assert content["device"]["backend"] == "kernels"
    space = get_space(content["space"])
    sparse = {p["id"] for p in content["points"] if min(space.parse(p["subnet"])["b"]) < 100}
    assert sparse  # some point is pruned: small stages are fastest so
    ids = [id_ for point in sorted(sparse)[:2] for id_ in ("--id", point)]
    export = ["export", "--pareto", run / "pareto.json", "--supernet", net, "--data", "digits"]
    done = nas(*export, *ids, "--out", board)
    assert done.code == 0, done.err
    manifest = read_manifest(str(board))
    assert manifest.content["verified"]["kernels_max_logit_difference"] < 1e-4
    assert "pruned in blocks have no slices" in manifest.content["not_shared"]
    images = np.random.default_rng(0).standard_normal((3, 1, 8, 8)).astype(np.float32)
    fast, dense = Engine(manifest), Engine(manifest, kernels=False)
    for name in manifest.content["networks"]:
        pairs = zip(fast.logits(name, images), dense.logits(name, images), strict=True)
        for found, wanted in pairs:
            np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4)
    kinds = {type(fast.sessions(file)).__name__ for file in fast.sessions.files}
    assert "ProgramSession" in kinds


def test_what_makes_no_blocks_is_one_line(tmp_path: Path) -> None:
    train = f"supernet train --kind blocks --epochs 1 --quiet --out {tmp_path / 'x'}".split()
    refused(nas(*train, "--sparsities", "0,many"), "--sparsities must look like 0,.7,.8,.9, got")
    refused(
        nas(*train, "--sparsities", "0,1"),
        "--sparsities must be 0 or more and at most .99, got 0,1",
    )
    refused(nas(*train, "--g", "99"), "--g must be 1 to 8")
    save_supernet(random_supernet(SPACE), tmp_path / "net" / "weights.safetensors")
    start = ["--start", tmp_path / "net"]
    refused(nas(*train, *start), "is a supernet of kind blocks; start from one of kind")
