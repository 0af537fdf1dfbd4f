"""`nas prune`: from a network to a folder of packed layers, and what is refused."""

from __future__ import annotations

import json
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from nas.zoo.pruned import named_network, prune_folder, pruned_network
from search_spaces import InputError
from supernets import cached_norm, calibrate, calibration_images, read_tensors, save_supernet
from supernets.kernels import read_packed
from supernets.pruning import WEIGHTS, PruneSettings
from tests.nas.conftest import nas
from tests.supernets import tiny
from tests.supernets.training.test_loop import small_digits

NETWORK = """
import torch
from torch import nn

def made():
    torch.manual_seed(0)
    body = [nn.Conv2d(1, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 12, 3, 1, 1)]
    return nn.Sequential(*body, nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(48, 10))

def number():
    return 7

def boom():
    raise OSError("no weights here")

def three_classes():
    net = made()
    net[-1] = nn.Linear(48, 3)
    return net

def colours():
    net = made()
    net[0] = nn.Conv2d(3, 8, 3, 2, 1)
    return net

def strided():
    net = made()
    net[3] = nn.Conv2d(8, 12, 3, (2, 1), 1)
    return net

def dilated():
    net = made()
    end = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, 10)]
    return nn.Sequential(*net[:5], nn.Conv2d(12, 12, 3, 1, 2, 2), *end)

def normed():
    net = made()
    nn.utils.parametrizations.weight_norm(net[3])
    return net

def frozen():
    return made().requires_grad_(False)

class Own(nn.Conv2d):
    def forward(self, x):
        return nn.functional.conv2d(x, self.weight - self.weight.mean(), self.bias, 1, 1)

def own():
    net = made()
    net[3] = Own(8, 12, 3)
    return net

class Told(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = made()

    def forward(self, x):
        return {"logits": self.net(x)}

class Counted(Told):
    def forward(self, x):
        return self.net(x).view(len(x), 10)
"""


@pytest.fixture
def network(tmp_path, monkeypatch):
    (tmp_path / "a_net_of_mine.py").write_text(NETWORK)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    yield "a_net_of_mine:made"
    sys.modules.pop("a_net_of_mine", None)


def test_a_network_becomes_a_folder_of_packed_layers(network, tmp_path) -> None:
    out = tmp_path / "out"
    asked = ("--epochs", 1, "--sparsity", 0.75, "--batch-size", 256, "--json")
    done = nas("prune", network, "--out", out, *asked, "--mean", "0.3", "--std", ".4")
    assert done.code == 0, done.err
    found = json.loads(done.out)
    assert found == json.loads((out / "pruned.json").read_text())
    assert found["layers"]["3"]["sparsity"] == pytest.approx(0.75)
    assert found["latency_ms_before"] > 0 < found["latency_ms_after"]
    other = tmp_path / "other" / "weights.safetensors"
    other.parent.mkdir()
    other.write_bytes(b"of a supernet")
    done = nas("prune", network, "--out", other.parent, *asked[:2], "--quiet")
    assert "holds weights of something else; choose another --out" in done.err
    _, told = read_tensors(out / "weights.safetensors", WEIGHTS)
    assert (told["images"]["mean"], told["images"]["std"]) == ([0.3], [0.4])
    layers, about = read_packed(out / "packed.safetensors")
    assert about["net"] == network
    net, _ = named_network("a_net_of_mine.py:made", None, None)
    assert layers["3"].dense().shape == net[3].weight.shape


def test_a_convolution_that_no_kernel_computes_stays_whole(network, tmp_path) -> None:
    name, out = network.replace("made", "dilated"), tmp_path / "out"
    done = nas("prune", name, "--out", out, "--epochs", 1, "--sparsity", 0.75)
    assert done.code == 0, done.err
    why = "dilation and padding other than zeros cannot be packed"
    said = " ".join(done.err.split())
    assert f"5 stays whole: {why}" in said
    assert "without --data the images are scikit-learn's digits: 8x8 pixels, grey" in said
    assert "test images of digits, measured: " in said
    found = json.loads((out / "pruned.json").read_text())
    assert list(found["layers"]) == ["3"]
    assert found["left_whole"] == {"5": why}
    net, _ = pruned_network(out)
    assert (net[5].weight != 0).all()
    done = nas("export", "--pareto", out, "--out", tmp_path / "board", "--quiet")
    assert done.code == 0, done.err


@pytest.mark.parametrize(("after", "warned"), [(71.0, True), (76.0, False)])
def test_accuracy_that_pruning_costs_is_remarked(network, after, warned, monkeypatch) -> None:
    found = {"layers": {}, "left_whole": {}, "n_test_images": 9, "data": "digits"}
    found |= {"top1_pct_before": 80.0, "top1_pct_after": after, "after_is": "exported"}
    times = dict.fromkeys(("before", "after", "after_in_torch"), 1.0)
    found |= {f"latency_ms_{name}": ms for name, ms in times.items()}
    monkeypatch.setattr("nas.api.prune", lambda *given, **named: found)
    said = " ".join(nas("prune", network, "--out", "out").err.split())
    assert ("warning: 9.0 points are lost; more --epochs or a lower --sparsity" in said) == warned


def test_what_is_no_network_is_refused_in_one_line(network) -> None:
    with pytest.raises(
        InputError, match="a_net_of_mine:number returns must be a torch network, got int"
    ):
        named_network("a_net_of_mine:number", None, None)
    with pytest.raises(InputError, match="a_net_of_mine:none makes no network: AttributeE"):
        named_network("a_net_of_mine:none", None, None)
    with pytest.raises(InputError, match="`subnet` is a part of a supernet"):
        named_network(network, "d1", None)
    with pytest.raises(InputError, match="resnet-cifar10 says itself how images are normalised"):
        named_network("resnet-cifar10", None, None, (0.5, 0.5, 0.5), (1, 1, 1))
    with pytest.raises(
        InputError, match=r"no supernet 'nothing'.*; or give FILE\.py:FUNCTION, a t"
    ):
        named_network("nothing", None, None)
    with pytest.raises(InputError, match=r"mine\.py is no supernet: .*; or give FILE\.py:FUNCTION"):
        named_network("mine.py", None, None)
    with pytest.raises(InputError, match=r"m\.onnx is no supernet: a torch network is needed, not"):
        named_network("m.onnx", None, None)


@pytest.mark.parametrize(
    ("made", "asked", "why"),
    [
        ("boom", (), "a_net_of_mine:boom makes no network: OSError: no weights here"),
        ("three_classes", (), "the network answers (3,) numbers, and digits has 10 classes"),
        ("colours", (), "the network does not take images of (1, 8, 8): "),
        ("strided", (), "3: stride (2, 1) and padding (1, 1) must be the same"),
        ("own", (), "3: no convolution of Sequential that it runs as torch's own"),
        ("normed", (), "3: its weight is computed from others, as by weight norm"),
        ("frozen", (), "Sequential is frozen: no weight has `requires_grad`"),
        ("made", ("--seed", -1), "--seed must be 0 or more, got -1"),
        ("Told", (), "the network answers a dict, and digits has 10 classes"),
        ("Counted", (), "Counted: torch.fx cannot trace it: 'len' is not supported"),
        ("made", ("--sparsity", 0), "--sparsity must be above 0 and under 1, got 0.0"),
        ("made", ("--lr", "nan"), "--lr must be positive, got nan"),
        ("made", ("--threads", 0), "--threads must be at least 1, got 0"),
        ("made", ("--sparsity", 0.9999), "3: --sparsity 0.9999 leaves no block of --g 4"),
        ("made", ("--g", 16), "has no convolution of one group with 16 outputs"),
    ],
)
def test_what_cannot_be_pruned_is_refused_before_it_is_trained(
    network, tmp_path, made, asked, why
) -> None:
    name = network.replace("made", made)
    done = nas("prune", name, "--out", tmp_path / "out", "--epochs", 1, *asked, "--quiet")
    assert done.code == 1
    assert why in done.err
    assert len(done.err.splitlines()) == 1


def test_a_subnet_is_pruned_from_statistics_of_its_own(tmp_path) -> None:
    """Those in the file are of the largest, with which others answer at random."""
    net, chosen, data = tiny.supernet(), tiny.SPACE.subnet(tiny.SPACE.smallest), tiny.digits()
    about = {"dataset": "digits", "data": data.describe()}
    save_supernet(net, tmp_path / "weights.safetensors", **about)
    found, images = named_network(str(tmp_path), str(chosen), None)
    own = cached_norm(calibrate(net, chosen, calibration_images(data)))
    x = tiny.images(8)
    with torch.no_grad():
        torch.testing.assert_close(found(x)[-1], net(x, chosen, norm=own)[-1], atol=1e-3, rtol=1e-3)
        assert not torch.allclose(found(x)[-1], net(x, chosen)[-1], atol=0.1)
    assert len(images.test) == len(data.test)


def test_single_weights_are_pruned_from_python(tmp_path) -> None:
    """`g`, which the command leaves out then, is no matter."""
    data = replace(small_digits(64), test=small_digits(64).train)
    settings = PruneSettings(method="unstructured", epochs=1, batch_size=64, lr=1e-3, bf16=False)
    net = nn.Sequential(
        *(nn.Conv2d(1, 8, 3, 2), nn.Conv2d(8, 8, 1), nn.AdaptiveAvgPool2d(1)),
        *(nn.Flatten(), nn.Linear(8, 10)),
    )
    list(prune_folder(net, data, settings, tmp_path, name=None))
    layers, about = read_packed(tmp_path / "packed.safetensors")
    assert layers["1"].g == about["settings"]["g"] == 1
    assert layers["1"].n_blocks == int((net[1].weight != 0).sum()) == 6
    none = replace(data, test=data.test[np.arange(0)])
    steps = prune_folder(net, none, settings, tmp_path / "none", name=None)
    with pytest.raises(InputError, match="digits has no test images: draw them from three"):
        next(steps)


class Auxiliary(nn.Module):
    """An answer more in training, as GoogLeNet has."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(1, 8, 3, 2), nn.Conv2d(8, 8, 1))
        self.more = nn.Conv2d(8, 8, 1)
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.body(x)
        return (self.head(self.more(x)), self.head(x)) if self.training else self.head(x)


def test_what_no_answer_needs_is_not_pruned(tmp_path) -> None:
    data, net = small_digits(64), Auxiliary()
    settings = PruneSettings(epochs=1, batch_size=64, sparsity=0.5, bf16=False)
    list(prune_folder(net, replace(data, test=data.train), settings, tmp_path, name=None))
    assert list(read_packed(tmp_path / "packed.safetensors")[0]) == ["body.1"]
    assert net.more.weight.all()


def test_a_network_that_cannot_be_traced_is_refused_before_it_is_trained() -> None:
    from supernets.kernels import pack_network

    class Branching(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x if x.sum() > 0 else -x

    with pytest.raises(InputError, match=r"Branching: torch\.fx cannot trace it"):
        pack_network(Branching(), {}, 4)
