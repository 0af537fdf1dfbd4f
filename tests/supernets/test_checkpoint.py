"""Checkpoints: what is read is what was written, and a broken file is told from a good one."""

from __future__ import annotations

import json
import os
import pickle
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

from predictors import TableError, read_accuracy_table
from search_spaces import InputError, get_space
from supernets import CheckpointError, check_kind, load_supernet, save_supernet, sha256
from supernets.checkpoint import SCHEMA, read_tensors, write_tensors
from tests.supernets.tiny import SPACE, images, subnets, supernet


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A good checkpoint."""
    save_supernet(supernet(), tmp_path / "weights.safetensors", dataset="digits", epochs_done=3)
    return tmp_path / "weights.safetensors"


def test_a_checkpoint_reads_back(path: Path) -> None:
    net, metadata = load_supernet(path)
    assert net.space == SPACE
    assert not net.training
    assert metadata["dataset"] == "digits"
    assert metadata["epochs_done"] == 3
    torch.testing.assert_close(net.state_dict(), supernet().state_dict(), atol=0, rtol=0)


def test_half_precision_halves_the_file_and_keeps_the_answers(path: Path, tmp_path: Path) -> None:
    small = tmp_path / "half.safetensors"
    save_supernet(supernet(), small, half=True)
    assert small.stat().st_size < 0.6 * path.stat().st_size
    net, _ = load_supernet(small)
    assert {p.dtype for p in net.parameters()} == {torch.float32}
    with torch.no_grad():
        wanted = supernet()(images(), subnets(1)[0])[-1].softmax(dim=1)
        torch.testing.assert_close(
            net(images(), subnets(1)[0])[-1].softmax(dim=1), wanted, atol=0.02, rtol=0
        )


def test_equal_weights_have_equal_checksums(path: Path, tmp_path: Path) -> None:
    save_supernet(supernet(), tmp_path / "again", dataset="digits", epochs_done=3)
    assert sha256(tmp_path / "again") == sha256(path)
    save_supernet(supernet(1), tmp_path / "again", dataset="digits", epochs_done=3)
    assert sha256(tmp_path / "again") != sha256(path)


def test_variances_beyond_half_precision_come_back(tmp_path: Path) -> None:
    net = supernet()
    net.stem_norm.running_var.fill_(1e6)
    save_supernet(net, tmp_path / "weights.safetensors", half=True)
    found, _ = load_supernet(str(tmp_path))  # its folder, by a text
    assert torch.equal(found.state_dict()["stem_norm.running_var"], net.stem_norm.running_var)


def test_an_absent_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"absent\.safetensors does not exist"):
        load_supernet(tmp_path / "absent.safetensors")


@pytest.mark.parametrize("kept", [0, 1, 7, 8, 100, 2000, -1])
def test_a_truncated_file_is_no_checkpoint(path: Path, kept: int) -> None:
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(CheckpointError, match="is no readable safetensors file") as caught:
        load_supernet(path)
    assert str(caught.value).count(str(path)) == 1


@pytest.mark.parametrize("content", [b"PK\x03\x04" * 50, b"\x80\x04}." * 9, b"{}", b"\xff" * 64])
def test_another_kind_of_file_is_no_checkpoint(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="is no readable safetensors file"):
        load_supernet(path)


def test_a_corrupt_header_is_no_checkpoint(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[8:40] = b"#" * 32
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match="is no readable safetensors file: its") as caught:
        load_supernet(path)
    assert str(caught.value).count(str(path)) == 1


@given(where=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_a_flipped_bit_is_found(where: float, bit: int) -> None:
    """Anywhere in the file: length, header, metadata or weights."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "weights.safetensors"
        save_supernet(supernet(), path)
        data = bytearray(path.read_bytes())
        data[int(where * len(data))] ^= 1 << bit
        path.write_bytes(data)
        with pytest.raises(CheckpointError, match=r"weights\.safetensors"):
            load_supernet(path)


@pytest.mark.parametrize("name", ["weight", "metadata"])
def test_a_damaged_file_is_told_from_a_good_one(path: Path, name: str) -> None:
    data = bytearray(path.read_bytes())
    at = len(data) - 5 if name == "weight" else data.index(b"digits")
    data[at] ^= 1
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match="is damaged: its content does not have the checksum"):
        load_supernet(path)


class Evil:
    """Unpickling it would create the file `path`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (os.mkdir, (str(self.path),))


@pytest.mark.parametrize("pack", [pickle.dump, torch.save])
def test_no_pickle_is_executed(tmp_path: Path, pack: Callable[..., None]) -> None:
    marker, path = tmp_path / "executed", tmp_path / "weights.safetensors"
    with path.open("wb") as file:
        pack({"weight": Evil(marker)}, file)
    with pytest.raises(CheckpointError, match="is no readable safetensors file"):
        load_supernet(path)
    with pytest.raises(TableError, match="is no readable safetensors file"):
        read_accuracy_table(path, SPACE)
    assert not marker.exists()


def test_another_schema_is_refused_by_name(path: Path) -> None:
    write_tensors(path, {}, {"schema": "nas.supernet/9", "space": SPACE.to_dict()})
    with pytest.raises(CheckpointError, match=f"has schema 'nas.supernet/9', expected '{SCHEMA}'"):
        load_supernet(path)


def test_a_file_that_is_not_ours_is_refused(path: Path) -> None:
    save_file({"weight": torch.zeros(3)}, path)
    with pytest.raises(CheckpointError, match="has schema None, expected"):
        load_supernet(path)


def test_weights_of_another_space_are_refused(path: Path) -> None:
    cifar = get_space("resnet-cifar").to_dict()
    write_tensors(path, dict(supernet().state_dict()), {"schema": SCHEMA, "space": cifar})
    with pytest.raises(CheckpointError, match="does not fit its space"):
        load_supernet(path)


def test_a_space_without_supernet_is_refused(path: Path) -> None:
    tabular = get_space("nasbench201").to_dict()
    write_tensors(path, {}, {"schema": SCHEMA, "space": tabular})
    with pytest.raises(CheckpointError, match="the space nasbench201 has no supernet"):
        load_supernet(path)


def test_a_failed_write_leaves_the_old_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = path.read_bytes()

    def fail(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(OSError, match="no space left"):
        save_supernet(supernet(1), path)
    assert path.read_bytes() == before


def test_metadata_is_plain_json_in_the_header(path: Path) -> None:
    """The file opens without our code: eight bytes of length, then a JSON header."""
    data = path.read_bytes()
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    described = json.loads(header["__metadata__"]["json"])
    assert described["schema"] == SCHEMA
    assert described["space"]["name"] == "resnet-digits"


def test_a_supernet_of_another_kind_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    check_kind(path, "elastic")  # nothing is there
    save_supernet(supernet(), path)
    assert load_supernet(path)[1]["kind"] == "elastic"
    with pytest.raises(CheckpointError, match="holds a supernet that training would replace"):
        check_kind(path, "elastic")
    save_supernet(supernet(), path, epochs_done=1)
    check_kind(path, "elastic")
    tensors, metadata = read_tensors(path, SCHEMA)
    write_tensors(path, tensors, {**metadata, "kind": "groups"})
    with pytest.raises(CheckpointError, match="holds a supernet of kind groups"):
        check_kind(path, "elastic")
    with pytest.raises(InputError, match=r"`kind` must be one of elastic.*, got 'no'"):
        check_kind(path, "no")
