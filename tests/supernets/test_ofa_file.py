"""Foreign files: the network's tensors alone come out, whatever is around them; nothing is run."""

from __future__ import annotations

import os
import pickle
from argparse import Namespace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import Tensor

from supernets import CheckpointError
from supernets.ofa_file import WRAPPERS, read_foreign

MIX = "feature_mix_layer.conv.weight"
NETWORK: dict[str, Tensor] = {  # a few tensors of one, under the keys that come out
    "first_conv.conv.weight": torch.arange(54.0).reshape(2, 3, 3, 3),
    "first_conv.bn.running_mean": torch.arange(2.0),
    "blocks.1.conv.depth_conv.conv.weight": torch.ones(2, 1, 3, 3),
    MIX: torch.ones(4, 2, 1, 1),
    "classifier.linear.bias": torch.arange(4.0),
}
STATE = NETWORK | {"first_conv.bn.num_batches_tracked": torch.tensor(7)}


def saved(path: Path, content: Any) -> Path:
    torch.save(content, path)
    return path


def is_whole(found: dict[str, Tensor]) -> bool:
    torch.testing.assert_close(found, NETWORK, atol=0, rtol=0)
    return True


@given(
    wraps=st.lists(st.sampled_from(WRAPPERS), max_size=3),
    prefixes=st.lists(
        st.sampled_from(["module.", "_orig_mod.", "net.", "_fsdp_wrapped_module."]), max_size=3
    ),
    averaged=st.booleans(),
)
@settings(max_examples=30)
def test_what_training_scripts_save_around_weights(
    wraps: list[str], prefixes: list[str], averaged: bool
) -> None:
    """DataParallel, `torch.compile`, averaged models, dictionaries with epochs and optimisers."""
    state: Any = {"".join(prefixes) + key: value for key, value in STATE.items()}
    state |= {"n_averaged": torch.tensor(3)} if averaged else {}
    for wrap in wraps:
        state = {wrap: state, "epoch": 3, "optimizer": {"lr": 0.1}, "args": None}
    with TemporaryDirectory() as folder:
        assert is_whole(read_foreign(saved(Path(folder) / "a", state)))


def test_keys_of_both_dialects_come_out_alike(tmp_path: Path) -> None:
    doubled = {k.replace(".conv.weight", ".conv.conv.weight"): v for k, v in STATE.items()}
    older = {k.replace(".1.conv.", ".1.mobile_inverted_conv."): v for k, v in doubled.items()}
    assert older.keys() != doubled.keys() != STATE.keys()
    for state in (doubled, older):
        assert is_whole(read_foreign(saved(tmp_path / "a", state)))


def test_averaged_weights_come_before_the_last_ones(tmp_path: Path) -> None:
    last = {key: value * 0 for key, value in STATE.items()}
    content = {"state_dict": last, "model_ema": {"module": STATE}}
    assert is_whole(read_foreign(saved(tmp_path / "a", content)))


def test_what_a_trainer_keeps_beside_the_network_is_left_out(tmp_path: Path) -> None:
    state = {f"net.{k}": v for k, v in STATE.items()} | {"loss.weight": torch.ones(3)}
    assert is_whole(read_foreign(saved(tmp_path / "a", {"state_dict": state})))
    more: Any = {**STATE, "epoch": 3, "classifier.total_ops": torch.zeros(1)}
    assert is_whole(read_foreign(saved(tmp_path / "a", more)))


@pytest.mark.parametrize("of", [lambda s: {"best": s, "lr": {"a": 1}}, lambda s: list(s.items())])
def test_weights_under_a_name_of_ones_own(of: Any, tmp_path: Path) -> None:
    assert is_whole(read_foreign(saved(tmp_path / "a", of(STATE))))


def test_a_part_that_was_compiled_alone(tmp_path: Path) -> None:
    state = {k.replace("classifier.", "classifier._orig_mod."): v for k, v in STATE.items()}
    assert is_whole(read_foreign(saved(tmp_path / "a", state)))


def test_safetensors_are_read_too(tmp_path: Path) -> None:
    save_file(STATE, tmp_path / "a")
    assert is_whole(read_foreign(tmp_path / "a"))


def test_half_precision_is_read_as_single(tmp_path: Path) -> None:
    half = {key: value.half() for key, value in STATE.items()}
    assert is_whole(read_foreign(saved(tmp_path / "a", half)))


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ([torch.zeros(1)], "holds a list, expected a state dict"),
        ({"a": 3}, "holds a dict of a, expected a state dict"),
        (
            {"teacher": STATE, "student": STATE},
            "holds a dict of teacher, student, expected a state",
        ),
        (
            {f"{n}.{k}": v for k, v in STATE.items() for n in ("ema", "student")},
            r"holds several networks \(ema., student.\)",
        ),
        (
            STATE | {MIX.replace("conv.", "conv.conv."): NETWORK[MIX]},
            "has the same layer under two keys",
        ),
        (
            {"model": STATE, "args": Namespace(lr=1)},
            r"needs argparse.Namespace; save its state dict alone",
        ),
    ],
)
def test_what_is_no_network_is_named(tmp_path: Path, state: Any, message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        read_foreign(saved(tmp_path / "a", state))


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
    content = {"state_dict": STATE, "extra": Malicious(marker)}
    if write == "pickle":
        path.write_bytes(pickle.dumps(Malicious(marker)))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=write == "torch")
    with pytest.raises(CheckpointError, match="holds no plain tensors and was not executed"):
        read_foreign(path)
    assert not marker.exists()


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04" * 30, b"\x80\x02}", b"<html>404</html>"])
def test_a_broken_file_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a").write_bytes(data)
    with pytest.raises(CheckpointError, match="holds no plain tensors"):
        read_foreign(tmp_path / "a")


def test_a_truncated_file_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path / "a", STATE)
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(CheckpointError, match="holds no plain tensors"):
        read_foreign(path)


def test_an_absent_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="nothing does not exist"):
        read_foreign(tmp_path / "nothing")
