"""The folder of a run: claimed by one process, left as it was where a run does not start."""

import contextlib
import json
import sys
from pathlib import Path

import pytest

from nas.files import LOCK, exclusive
from nas.search.folder import NEW_ROWS, STATE, claim
from search_spaces import InputError


def test_a_run_that_does_not_start_leaves_nothing(tmp_path):
    out = tmp_path / "run"
    with claim(out, {"seed": 0}, resume=False, overwrite=False):
        assert (out / LOCK).exists()
    assert not out.exists()


def test_what_others_put_there_hides_no_error(tmp_path, monkeypatch):
    """Another process claims the folder as this one lets go of it; somebody has a file there."""
    out, unlink, other = tmp_path / "run", Path.unlink, contextlib.ExitStack()

    def unlinked(path, **how):
        unlink(path, **how)
        if path.name == LOCK:
            monkeypatch.undo()
            other.enter_context(claim(out, {}, resume=False, overwrite=False))

    def refused():
        with claim(out, {}, resume=False, overwrite=False, devices=("nano", "tx2")) as folder:
            (folder.homes["nano"] / "notes").touch()
            raise InputError("a bound is out of reach")

    monkeypatch.setattr(Path, "unlink", unlinked)
    with other, pytest.raises(InputError, match="out of reach"):
        refused()
    assert [path.name for path in out.rglob("*")] == ["nano", "notes"]


def test_a_run_that_started_is_resumed_with_the_same_settings_alone(tmp_path):
    with claim(tmp_path, {"seed": 0}, resume=False, overwrite=False) as folder:
        folder.rows[""].write_text("rows")
        folder.start()
    assert json.loads((tmp_path / STATE).read_text()) == {"seed": 0}
    with claim(tmp_path, {"seed": 0}, resume=True, overwrite=False) as folder:
        assert folder.rows[""].read_text() == "rows"
    with (
        pytest.raises(InputError, match="holds a run with another seed"),
        claim(tmp_path, {"seed": 1}, resume=True, overwrite=False),
    ):
        pass
    with (
        pytest.raises(InputError, match="`resume=True` to go on, `overwrite=True` or another"),
        claim(tmp_path, {"seed": 1}, resume=False, overwrite=False),
    ):
        pass


def test_rows_of_a_run_that_was_killed_before_it_started_are_not_another_runs(tmp_path):
    """They may be of another seed, or of a file that this run does not name."""
    (tmp_path / NEW_ROWS).write_text("of another run")
    with claim(tmp_path, {"seed": 0}, resume=False, overwrite=False) as folder:
        assert not folder.rows[""].exists()


@pytest.mark.parametrize("others", [[".."], [3], 3])
def test_a_file_that_tells_of_the_older_run_leads_nowhere_else(tmp_path, others):
    out = tmp_path / "run"
    out.mkdir()
    (out / STATE).write_text(json.dumps({"device": "nano", "others": others}))
    (tmp_path / "pareto.json").write_text("of another folder")
    with claim(out, {"seed": 1}, resume=False, overwrite=True) as folder:
        folder.rows[""].write_text("rows")
        folder.start()
    assert (tmp_path / "pareto.json").exists()


@pytest.mark.parametrize("name", ["pareto.json", "study.journal", "nano/pareto.csv"])
@pytest.mark.parametrize("resume", [False, True])
def test_a_result_of_somebody_else_is_not_replaced_unasked(tmp_path, name, resume):
    devices = ["nano", "tx2"] if "/" in name else ["nano"]
    (tmp_path / "nano").mkdir()
    (tmp_path / name).write_text("mine")
    with (
        pytest.raises(InputError, match=rf"{name} is there, and no run\.json .* `overwrite=True`"),
        claim(tmp_path, {}, resume=resume, overwrite=False, devices=devices),
    ):
        pass
    assert (tmp_path / name).read_text() == "mine"
    with claim(tmp_path, {}, resume=resume, overwrite=True, devices=devices) as folder:
        for rows in folder.rows.values():
            rows.touch()
        folder.start()
    assert not (tmp_path / name).exists()


def test_a_kill_while_the_old_run_goes_leaves_what_says_so(tmp_path, monkeypatch):
    """A run of `overwrite` ends in the middle: the folder is still known as one of a run."""
    (tmp_path / STATE).write_text("{}")
    (tmp_path / "pareto.json").write_text("old")
    kill, unlink = KeyboardInterrupt("killed"), Path.unlink

    def unlinked(path, **how):
        if path.name == "report.html":
            raise kill
        unlink(path, **how)

    with claim(tmp_path, {"seed": 1}, resume=False, overwrite=True) as folder:
        folder.rows[""].touch()
        monkeypatch.setattr(Path, "unlink", unlinked)
        with pytest.raises(KeyboardInterrupt):
            folder.start()
        monkeypatch.undo()
    assert (tmp_path / STATE).exists()


def test_what_a_failed_overwrite_would_have_replaced_stays(tmp_path):
    (tmp_path / STATE).write_text("{}")
    (tmp_path / "pareto.json").write_text("old")
    with claim(tmp_path, {"seed": 1}, resume=False, overwrite=True):
        pass
    assert (tmp_path / "pareto.json").read_text() == "old"


def test_a_folder_is_held_without_what_only_unix_has(tmp_path, monkeypatch):
    """`fcntl` is imported where it is used, so the search can be imported on Windows."""
    import nas.search.folder
    import nas.search.study.storage

    for module in (nas.search.folder, nas.search.study.storage):
        assert "fcntl" not in vars(module)
    monkeypatch.setitem(sys.modules, "nas.search.run", None)
    with exclusive(tmp_path):
        assert (tmp_path / LOCK).exists()
