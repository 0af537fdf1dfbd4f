"""OFA's checkpoints in our supernets: the layout, strictness, names. Needs no `ofa`."""

from __future__ import annotations

import functools
import hashlib
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from search_spaces import InputError, MobileNetV3Space, get_space
from supernets import (
    CheckpointError,
    build_supernet,
    load_ofa,
    load_supernet,
    locate,
    save_supernet,
    to_ofa_state_dict,
)

# Keys and shapes of the networks that `ofa` 0.1.0 builds, without its batch counters.
LAYOUTS = {
    "ofa-mobilenetv3": (411, "c4be78cc65b4ed4971fc5510c934ebad76d08544daa5b7b59d6ade6b4d7e551a"),
    "ofa-mobilenetv3-w1.2": (
        411,
        "cbb3bbddb6d00dabe292733f53b85f6988ecb06e43aa80778b68f86cccb918eb",
    ),
    "ofa-resnet50": (307, "1361fb5cc85d2569feb9360653f5bdbd7285ef565a4a8e61183e4ab2d7f26e6e"),
}
SPACE = MobileNetV3Space(n_classes=10, width_mult=0.25)


@functools.cache
def exported() -> dict[str, Tensor]:
    """What `ofa` would save for a small MobileNetV3, with its batch counters."""
    torch.manual_seed(0)
    state = to_ofa_state_dict(build_supernet(SPACE))
    counters = {k: torch.tensor(7) for k in state if k.endswith("running_mean")}
    return state | {
        k.replace("running_mean", "num_batches_tracked"): v for k, v in counters.items()
    }


def saved(path: Path, content: Any) -> Path:
    torch.save(content, path)
    return path


@pytest.mark.parametrize("name", list(LAYOUTS))
def test_the_layout_is_that_of_the_ofa_package(name: str) -> None:
    state = to_ofa_state_dict(build_supernet(get_space(name)))
    lines = sorted(f"{key} {tuple(value.shape)}" for key, value in state.items())
    assert (len(lines), hashlib.sha256("\n".join(lines).encode()).hexdigest()) == LAYOUTS[name]


@pytest.mark.parametrize("old", [False, True])
def test_both_dialects_are_read(tmp_path: Path, old: bool) -> None:
    state = OrderedDict(exported())
    if old:
        pairs = ((k.split(".conv.", 1), v) for k, v in state.items())
        state = OrderedDict(
            (
                k[0] + ".mobile_inverted_conv." + k[1]
                if k[0][:7] == "blocks."
                else ".conv.".join(k),
                v,
            )
            for k, v in pairs
        )
        assert set(state) != set(exported())
    net = load_ofa(saved(tmp_path / "a", state))
    assert net.space == SPACE
    assert not net.training
    for key, value in to_ofa_state_dict(net).items():
        torch.testing.assert_close(value, exported()[key], atol=0, rtol=0)


def test_what_was_imported_is_a_checkpoint_of_ours(tmp_path: Path) -> None:
    net = load_ofa(saved(tmp_path / "a", exported()))
    save_supernet(net, tmp_path / "b", dataset="imagenet")
    again, metadata = load_supernet(tmp_path / "b")
    assert again.space == net.space
    assert metadata["dataset"] == "imagenet"
    torch.testing.assert_close(again.state_dict(), net.state_dict(), atol=0, rtol=0)


def without(key: str) -> dict[str, Tensor]:
    return {k: v for k, v in exported().items() if k != key}


BIAS = "classifier.linear.bias"
MIX = "feature_mix_layer.conv.weight"


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (lambda: without(MIX), f"does not fit ofa-mobilenetv3-w0.25: 1 missing: {MIX};"),
        (lambda: exported() | {"extra.weight": torch.zeros(1)}, "1 unexpected: extra.weight;"),
        (lambda: exported() | {MIX: torch.zeros(8, 8, 1, 1)}, f"1 of another shape: {MIX};"),
        (lambda: exported() | {MIX: exported()[MIX] / 0}, f"1 not finite: {MIX};"),
        (
            lambda: without(BIAS),
            "is no once-for-all MobileNetV3, ProxylessNAS or ResNet50: its 410 keys",
        ),
        (lambda: {"a": torch.zeros(1)}, "its 1 keys begin with a$"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(tmp_path: Path, state: Any, message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        load_ofa(saved(tmp_path / "a", state()))


def test_long_lists_of_keys_are_cut(tmp_path: Path) -> None:
    missing = ("5to3_matrix", "depth_conv.conv.conv.weight")
    state = {k: v for k, v in exported().items() if not k.endswith(missing)}
    with pytest.raises(CheckpointError, match=r"40 missing: (\S+, ){3}\.\.\.; import the complete"):
        load_ofa(saved(tmp_path / "a", state))


# ---- official names ------------------------------------------------------------------------------


def test_a_name_is_found_where_ofa_keeps_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"save https://raw\S+_w1\.0 as \S+ and run .nas supernet"):
        locate("ofa_mbv3_d234_e346_k357_w1.0")
    with pytest.raises(
        InputError, match=r"save https://drive.google.com/uc\?id=\S+ as ofa_resnet50"
    ):
        locate("ofa_resnet50")
    with pytest.raises(InputError, match="neither a file nor one official checkpoint"):
        locate("ofa_mbv3")
    cached = tmp_path / "home/.torch/ofa_nets/ofa_resnet50_d0-1-2_e0.2-0.25-0.35_w0.65-0.8-1.0"
    cached.parent.mkdir(parents=True)
    cached.touch()
    assert locate("ofa_resnet50") == cached
    here = Path(".torch/ofa_nets", cached.name)
    here.parent.mkdir(parents=True)
    here.touch()
    assert locate("ofa_resnet50") == here
    Path("ofa_resnet50").touch()
    assert locate("ofa_resnet50") == Path("ofa_resnet50")
