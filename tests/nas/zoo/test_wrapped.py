"""A network of the user's own: wrapped, trained, searched, exported; and what is refused."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from nas.runtime import Engine, read_manifest
from nas.zoo.networks import Network, own_network, timm_network, with_weights
from search_spaces import InputError, get_space
from supernets import load_dataset, load_supernet
from tests.nas.conftest import nas, refused
from tests.supernets.traced.networks import timm_without_cuda

NETWORK = """
import torch
from torch import nn

class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Conv2d(16, 16, 3, 1, 1, bias=False), nn.Conv2d(16, 16, 3, 1, 1)
        self.norm = nn.BatchNorm2d(16)

    def forward(self, x):
        return torch.relu(x + self.b(torch.relu(self.norm(self.a(x)))))

class Net(nn.Module):
    def __init__(self, n_classes):
        super().__init__()
        self.stem, self.block, self.down = nn.Conv2d(1, 16, 3, 2, 1), Block(), nn.Conv2d(16, 32, 3)
        self.fc = nn.Linear(32, n_classes)

    def forward(self, x):
        x = torch.relu(self.down(self.block(torch.relu(self.stem(x)))))
        return self.fc(x.mean((2, 3)))

def build():
    torch.manual_seed(0)
    return Net(10)

def colours():
    net = build()
    net.stem = nn.Conv2d(3, 16, 3, 2, 1)
    return net

def three():
    return Net(3)

def nothing():
    return 7

def parallel():
    return nn.DataParallel(build())

def broken():
    raise RuntimeError("no weights here")
"""


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("own") / "mymodel.py"
    path.write_text(NETWORK)
    return path


@pytest.fixture(scope="module")
def wrapped(file: Path) -> Path:
    out = file.parent / "mynet"
    done = nas("supernet", "wrap", f"{file}:build", "--exits", "0", "--out", out)
    assert done.code == 0, done.err
    said = " ".join(done.err.split())
    assert "without --data the images are scikit-learn's digits: 8x8 pixels, grey" in said
    assert "next: nas supernet train --start" in said
    right = re.search(r"mymodel is right about (\d+) of 256 validation images", said)
    assert right is not None
    assert f"right about {right[1]} of 256" in (out / "card.md").read_text()
    return out


@pytest.mark.slow
def test_the_whole_way(wrapped: Path, file: Path) -> None:
    file.rename(file.with_suffix(".gone"))  # the code is not needed any more
    try:
        root = wrapped.parent
        train = "supernet train --epochs 2 --batch-size 64 --threads 1 --quiet --start"
        assert nas(*train.split(), wrapped, "--out", root / "trained").code == 0
        evaluate = "supernet evaluate --samples 20 --quiet"
        assert nas(*evaluate.split(), root / "trained").code == 0
        search = "search --device xavier-nx --trials 30 --quiet --supernet"
        assert nas(*search.split(), root / "trained", "--out", root / "run").code == 0
        table = json.loads((root / "run" / "pareto.json").read_text())
        assert table["space"] == get_space(str(root / "trained")).name
        point = max(table["points"], key=lambda p: len(p["exits"]["after"]))
        export = ["export", "--pareto", root / "run" / "pareto.json", "--id", point["id"]]
        export += ["--supernet", root / "trained", "--data", "digits", "--quiet"]
        done = nas(*export, "--out", root / "board")
        assert done.code == 0, done.err
        dataset = load_dataset(None)
        images = dataset.normalise(dataset.test.images).numpy()
        answers = Engine(read_manifest(root / "board"))(point["id"], images)
        error_pct = 100 * np.mean(answers.classes != dataset.test.labels.numpy())
        assert abs(error_pct - point["top1_error_pct"]) < 10  # of validation images
    finally:
        file.with_suffix(".gone").rename(file)


def test_exits_train_while_the_trunk_keeps_every_bit(wrapped: Path) -> None:
    train = "supernet train --exits-only --epochs 1 --batch-size 256 --threads 1 --quiet --start"
    out = wrapped.parent / "exits"
    assert nas(*train.split(), wrapped, "--out", out).code == 0
    before, after = (load_supernet(p / "weights.safetensors")[0] for p in (wrapped, out))
    same = {
        key: torch.equal(value, after.state_dict()[key])
        for key, value in before.state_dict().items()
    }
    assert all(same[key] for key in same if not key.startswith("heads.0."))
    assert not all(same.values())


def test_weights_of_a_file_are_read_without_unpickling(file: Path, tmp_path: Path) -> None:
    import importlib.util

    spec = importlib.util.spec_from_file_location("own", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    net = module.build()
    net.fc.bias.data.fill_(3.0)
    save_file(net.state_dict(), tmp_path / "w.safetensors")
    wrap = ["supernet", "wrap", f"{file}:build", "--order", "none", "--quiet"]
    done = nas(*wrap, "--weights", tmp_path / "w.safetensors", "--out", tmp_path / "net")
    assert done.code == 0, done.err
    supernet, metadata = load_supernet(tmp_path / "net" / "weights.safetensors")
    assert torch.equal(supernet.state_dict()["heads.2.own.fc.bias"], torch.full((10,), 3.0))
    assert metadata["source"] == "mymodel"
    torch.save({"x": torch.zeros(1)}, tmp_path / "w.pt")
    done = nas(*wrap, "--weights", tmp_path / "w.pt", "--out", tmp_path / "other")
    refused(done, "w.pt is a pickle", "safetensors.torch.save_file(net.state_dict(), FILE)")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda w: w.pop("fc.bias"), "it lacks fc.bias"),
        (lambda w: w.update(other=torch.zeros(1)), "the network has no other"),
        (lambda w: w.update({"fc.weight": torch.zeros(10, 3)}), "of another shape is fc.weight"),
        (lambda w: w.update({"fc.bias": w["fc.bias"].int()}), "of another type is fc.bias"),
        (lambda w: [w.pop(k) for k in list(w)[1:]], r"it lacks a\.bias and \d+ more"),
    ],
)
def test_weights_of_another_network_are_named(
    change: Callable[[dict[str, torch.Tensor]], object], told: str, tmp_path: Path
) -> None:
    net = nn.Sequential()
    for name, layer in (("a", nn.Conv2d(3, 8, 3)), ("fc", nn.Linear(8, 10))):
        net.add_module(name, layer)
    weights = {f"module._orig_mod.{k}": (v + 1).bfloat16() for k, v in net.state_dict().items()}
    save_file(weights, tmp_path / "w.safetensors")
    with_weights(Network(net, "mine"), tmp_path / "w.safetensors")
    assert torch.equal(net.state_dict()["fc.bias"], weights["module._orig_mod.fc.bias"].float())
    plain = net.state_dict()
    change(plain)
    save_file(plain, tmp_path / "w.safetensors")
    with pytest.raises(InputError, match=f"does not fit mine: {told}"):
        with_weights(Network(net, "mine"), tmp_path / "w.safetensors")


BAD = {
    "colours": ("does not run on these images: ", "these are grey digits, give others with --data"),
    "three": ("fc of three tells 3 classes apart", "has 10"),
    "nothing": ("returns must be a torch network, got int",),
    "broken": ("makes no network: RuntimeError: no weights here",),
    "absent": ("AttributeError",),
}


@pytest.mark.parametrize("function", BAD)
def test_what_is_no_network_of_these_images_is_refused(
    function: str, file: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    refused(nas("supernet", "wrap", f"{file}:{function}", "--quiet", "--out", out), *BAD[function])
    assert not out.exists()


def test_what_cannot_be_asked_is_refused(file: Path, wrapped: Path, tmp_path: Path) -> None:
    wrap, out = ["supernet", "wrap", f"{file}:build", "--quiet"], ["--out", tmp_path / "out"]
    refused(nas("supernet", "wrap", *out), "FILE.py:FUNCTION or --timm NAME")
    refused(nas("supernet", "wrap", "nowhere.py:build", *out), "nowhere.py does not exist")
    refused(nas("supernet", "wrap", "m.onnx", *out), "m.onnx: a torch network is needed, not its")
    search = "search", "--device", "nano", "--quiet", *out, "--supernet"
    for given, source in ((file, f"{file}:FUNCTION"), (f"{file}:build", f"{file}:build")):
        words = f"{given} is no supernet: `nas supernet wrap {source} --out DIR` makes one"
        refused(nas(*search, given), words)
    refused(nas(*search, "m.onnx"), "m.onnx is no supernet: a torch network is needed")
    refused(nas(*wrap, *out, "--order", "size"), "taylor, l2, none")
    refused(nas(*wrap, *out, "--exits", "9"), "the places 0 to 1, where a single map")
    refused(
        nas(*wrap, *out, "--mean", "1,2", "--std", "1,1"),
        "--mean must be one number per channel, 1 for digits, got 1,2",
    )
    refused(nas(*wrap, *out, "--mean", "0.5"), "--mean and --std go together")
    refused(nas(*wrap, *out, "--mean", "0.5", "--std", "0"), "--std must be positive, got 0")
    refused(nas(*wrap, *out, "--mean", "a"), "--mean takes numbers like 0.49,0.48,0.45, got 'a'")
    refused(nas(*wrap, "--out", wrapped), "exists already")


def test_what_runs_a_network_is_taken_off(file: Path) -> None:
    (file.parent / "beside.py").write_text(f"from {file.stem} import parallel")
    assert type(own_network(f"{file.parent / 'beside.py'}:parallel").net).__name__ == "Net"


def test_a_network_of_timm() -> None:
    try:
        timm_without_cuda()
    except ImportError:
        pytest.skip("timm is not installed")
    found = timm_network("resnet10t", 10, 3)
    assert found.mean is not None
    with pytest.raises(InputError, match="timm has no network 'resnet0'"):
        timm_network("resnet0", 10, 3)
