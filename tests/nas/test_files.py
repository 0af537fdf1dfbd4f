"""Locks as a search and a measurement hold them; new folders that are whole or absent."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from nas.files import LOCK, check_new, check_place, exclusive, held, new_folder
from nas.measure.table import held_table
from search_spaces import InputError


def test_a_lock_follows_no_link(tmp_path: Path) -> None:
    """Opening it would empty what the link leads to."""
    kept = tmp_path / "kept"
    kept.write_text("mine")
    (tmp_path / LOCK).symlink_to(kept)
    with pytest.raises(InputError, match=r"run\.lock is a link; remove it"), exclusive(tmp_path):
        pass
    assert kept.read_text() == "mine"


def test_a_lock_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / LOCK).mkdir()
    with pytest.raises(InputError, match=r"run\.lock is no file; remove it"), exclusive(tmp_path):
        pass


def test_two_measurements_do_not_share_a_file(tmp_path: Path) -> None:
    out = tmp_path / "new" / "rows.csv"
    busy = r"another `nas measure` writes to .*rows\.csv; wait for it or choose another `out`"
    with held_table(out), pytest.raises(InputError, match=busy), held_table(out):
        pass
    with held_table(out):
        pass
    assert list(out.parent.iterdir()) == []


def test_a_lock_is_given_free(tmp_path: Path) -> None:
    for _ in range(2):
        with held(tmp_path / "lock", "busy"):
            pass


# ---- new folders ---------------------------------------------------------------------------------


def test_a_new_folder_touches_nothing_of_somebody_else(tmp_path: Path) -> None:
    theirs = tmp_path / "board.tmp"
    theirs.mkdir()
    (theirs / "thesis").write_text("mine")
    left = tmp_path / ".board.nas.tmp"  # of a killed run: other points
    left.mkdir()
    (left / "old").touch()
    with new_folder(tmp_path / "board") as aside:
        (aside / "new").touch()
        assert not (tmp_path / "board").exists()
    assert sorted(path.name for path in tmp_path.rglob("*")) == [
        *("board", "board.tmp", "new", "thesis")
    ]


def test_a_closed_place_is_said_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path)
    with pytest.raises(InputError, match=r"cannot write to .*: Permission denied; choose"):
        check_new(tmp_path / "new" / "board")
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"cannot write to .*file: Not a directory; choose"):
        check_place(tmp_path / "file" / "run")
    assert not (tmp_path / "new").exists()


def test_two_commands_do_not_fill_one_folder(tmp_path: Path) -> None:
    busy = r"another command is writing .*board; wait for it or choose another `out`"
    with new_folder(tmp_path / "board") as aside:
        (aside / "first").touch()
        with pytest.raises(InputError, match=busy), new_folder(tmp_path / "board"):
            pass
    assert [path.name for path in (tmp_path / "board").iterdir()] == ["first"]


def test_what_was_put_there_meanwhile_stays(tmp_path: Path) -> None:
    out = tmp_path / "board"

    def somebody_else() -> None:
        out.mkdir()
        (out / "mine").touch()

    with pytest.raises(InputError, match="exists already"), new_folder(out):
        somebody_else()
    assert [path.name for path in tmp_path.rglob("*")] == ["board", "mine"]
