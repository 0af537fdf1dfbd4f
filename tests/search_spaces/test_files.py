"""A file is whole or absent, whatever happens while it is written."""

from __future__ import annotations

import errno
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from search_spaces import write_bytes, write_text


def test_the_content_is_replaced_and_nothing_stays_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    write_text(path, "a\nä\n")
    write_bytes(path, b"b")
    assert path.read_bytes() == b"b"
    assert list(tmp_path.iterdir()) == [path]


def test_the_mode_is_that_of_any_new_file(tmp_path: Path) -> None:
    write_bytes(tmp_path / "ours", b"")
    (tmp_path / "plain").touch()
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_a_failed_write_leaves_the_old_file_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    path = tmp_path / "table.csv"
    write_bytes(path, b"old")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, failing, full)
    with pytest.raises(OSError, match="No space left"):
        write_bytes(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_data_are_on_the_disk_before_the_rename_and_the_rename_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = []
    for name in ("fsync", "replace"):
        real = getattr(os, name)
        monkeypatch.setattr(os, name, lambda *a, n=name, f=real: (done.append(n), f(*a)))
    write_bytes(tmp_path / "table.csv", b"new")
    assert done == ["fsync", "replace", "fsync"]


def test_a_share_whose_folders_cannot_be_synced_takes_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fsync(number: int) -> None:
        if stat.S_ISDIR(os.fstat(number).st_mode):
            raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(os, "fsync", fsync)
    write_bytes(tmp_path / "table.csv", b"new")
    assert (tmp_path / "table.csv").read_bytes() == b"new"


def test_two_writers_never_mix(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    contents = [bytes([65 + i]) * 200_000 for i in range(4)]

    def write_often(data: bytes) -> None:
        for _ in range(10):
            write_bytes(path, data)

    with ThreadPoolExecutor(4) as pool:
        for _ in pool.map(write_often, contents):
            assert path.read_bytes() in contents
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk" / "table.csv").write_bytes(b"old")
    link = tmp_path / "table.csv"
    link.symlink_to("disk/table.csv")
    write_bytes(link, b"new")
    assert link.is_symlink()
    assert [path.read_bytes() for path in (tmp_path / "disk").iterdir()] == [b"new"]


def test_a_pipe_is_written_into_and_stays(tmp_path: Path) -> None:
    """As `/dev/null` and `/dev/stdout` are: root would put a file in their place."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with ThreadPoolExecutor(1) as reader:
        read = reader.submit(pipe.read_bytes)
        write_bytes(pipe, b"new")
        assert read.result(timeout=10) == b"new"
    assert pipe.is_fifo()
