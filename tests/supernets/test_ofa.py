"""Reading OFA's checkpoints: the layout, strictness, nothing executed. Needs no `ofa`."""

from __future__ import annotations

import functools
import hashlib
import os
import pickle
from argparse import Namespace
from collections import OrderedDict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
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
from supernets.ofa_file import WRAPPERS

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


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("old", [False, True])
def test_both_dialects_are_read(tmp_path: Path, nested: bool, old: bool) -> None:
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
    net = load_ofa(saved(tmp_path / "a", {"state_dict": state, "epoch": 1} if nested else state))
    assert net.space == SPACE
    assert not net.training
    for key, value in to_ofa_state_dict(net).items():
        torch.testing.assert_close(value, exported()[key], atol=0, rtol=0)


@given(
    wraps=st.lists(st.sampled_from(WRAPPERS), max_size=3),
    prefixes=st.lists(
        st.sampled_from(["module.", "_orig_mod.", "net.", "_fsdp_wrapped_module."]), max_size=3
    ),
    averaged=st.booleans(),
)
@settings(max_examples=12)
def test_what_training_scripts_save_around_weights(
    wraps: list[str], prefixes: list[str], averaged: bool
) -> None:
    """DataParallel, `torch.compile`, averaged models, dictionaries with epochs and optimisers."""
    state: Any = {"".join(prefixes) + key: value for key, value in exported().items()}
    state |= {"n_averaged": torch.tensor(3)} if averaged else {}
    for wrap in wraps:
        state = {wrap: state, "epoch": 3, "optimizer": {"lr": 0.1}, "args": None}
    with TemporaryDirectory() as folder:
        net = load_ofa(saved(Path(folder) / "a", state))
    for key, value in to_ofa_state_dict(net).items():
        torch.testing.assert_close(value, exported()[key], atol=0, rtol=0)


def test_averaged_weights_come_before_the_last_ones(tmp_path: Path) -> None:
    last = {key: value * 0 for key, value in exported().items()}
    content = {"state_dict": last, "model_ema": {"module": exported()}}
    net = load_ofa(saved(tmp_path / "a", content))
    torch.testing.assert_close(to_ofa_state_dict(net)[BIAS], exported()[BIAS], atol=0, rtol=0)


def test_what_a_trainer_keeps_beside_the_network_is_left_out(tmp_path: Path) -> None:
    state = {f"net.{k}": v for k, v in exported().items()} | {"loss.weight": torch.ones(3)}
    assert load_ofa(saved(tmp_path / "a", {"state_dict": state})).space == SPACE
    more: Any = {**exported(), "epoch": 3, "classifier.total_ops": torch.zeros(1)}
    assert load_ofa(saved(tmp_path / "a", more)).space == SPACE


@pytest.mark.parametrize("of", [lambda s: {"best": s, "lr": {"a": 1}}, lambda s: list(s.items())])
def test_weights_under_a_name_of_ones_own(of: Any, tmp_path: Path) -> None:
    assert load_ofa(saved(tmp_path / "a", of(exported()))).space == SPACE


def test_two_networks_without_a_known_name_are_not_chosen_from(tmp_path: Path) -> None:
    both = {"teacher": exported(), "student": exported()}
    with pytest.raises(CheckpointError, match="holds a dict of teacher, student, expected a state"):
        load_ofa(saved(tmp_path / "a", both))


def test_what_would_have_to_be_unpickled_is_named(tmp_path: Path) -> None:
    torch.save({"model": exported(), "args": Namespace(lr=1)}, tmp_path / "a")
    with pytest.raises(
        CheckpointError, match=r"needs argparse.Namespace; save its state dict alone"
    ):
        load_ofa(tmp_path / "a")


def test_a_part_that_was_compiled_alone(tmp_path: Path) -> None:
    state = {k.replace("classifier.", "classifier._orig_mod."): v for k, v in exported().items()}
    assert load_ofa(saved(tmp_path / "a", state)).space == SPACE


def test_safetensors_are_read_too(tmp_path: Path) -> None:
    save_file(dict(exported()), tmp_path / "a")
    assert load_ofa(tmp_path / "a").space == SPACE


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
        (lambda: [torch.zeros(1)], "holds a list, expected a state dict"),
        (lambda: {"a": 3}, "holds a dict of a, expected a state dict"),
        (
            lambda: {f"{n}.{k}": v for k, v in exported().items() for n in ("ema", "student")},
            r"holds several networks \(ema., student.\)",
        ),
        (
            lambda: exported() | {MIX.replace("conv.", "conv.conv."): exported()[MIX]},
            "has the same layer under two keys",
        ),
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


class Malicious:
    """Unpickled, it creates a file."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.marker),)


@pytest.mark.parametrize("write", ["torch", "legacy", "pickle"])
@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_nothing_in_a_file_is_executed(tmp_path: Path, write: str) -> None:
    path, marker = tmp_path / "a", tmp_path / "marker"
    content = {"state_dict": exported(), "extra": Malicious(marker)}
    if write == "pickle":
        path.write_bytes(pickle.dumps(Malicious(marker)))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=write == "torch")
    with pytest.raises(CheckpointError, match="holds no plain tensors and was not executed"):
        load_ofa(path)
    assert not marker.exists()


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04" * 30, b"\x80\x02}", b"<html>404</html>"])
def test_a_broken_file_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a").write_bytes(data)
    with pytest.raises(CheckpointError, match="holds no plain tensors"):
        load_ofa(tmp_path / "a")


def test_a_truncated_file_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path / "a", exported())
    path.write_bytes(path.read_bytes()[:-5000])
    with pytest.raises(CheckpointError, match="holds no plain tensors"):
        load_ofa(path)


def test_an_absent_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="nothing does not exist"):
        load_ofa(tmp_path / "nothing")


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
