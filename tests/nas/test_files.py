"""A lock of a file, as a search and a measurement hold it."""

from __future__ import annotations

from pathlib import Path

import pytest

from nas.files import LOCK, exclusive, held
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
