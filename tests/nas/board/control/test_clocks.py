"""Clocks, modes and the journal on trees of every board and JetPack."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from nas.board.bench.discover import discover
from nas.board.control.clocks import Emc
from nas.board.control.journal import Journal
from nas.board.control.pins import find_clocks, pin_all, present_mhz
from nas.board.control.sysfs import DeniedError, MissingError, Sysfs
from tests.nas.board.fake_board import BOARDS, TOTAL, FakeKernel, Tree, build, state

NOBODY = 65534
every_board = pytest.mark.parametrize("name", list(BOARDS))


@contextmanager
def as_nobody(tree: Tree) -> Iterator[None]:
    """Without root's rights; a test that is not root has none anyway, but owns the files."""
    for folder in [tree.root, *tree.root.parents]:
        if folder.stat().st_uid == os.getuid() and folder != Path("/"):
            folder.chmod(folder.stat().st_mode | 0o055)
    if os.geteuid():
        for path in tree.root.rglob("*"):
            if path.is_file() and not path.is_symlink():
                path.chmod(path.stat().st_mode & ~0o222)
        yield
        return
    os.setresuid(NOBODY, NOBODY, 0)  # the real user as well, for the programs that are started
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)


@every_board
def test_what_is_found(name: str, root: Path) -> None:
    build(name, root)
    found = discover(FakeKernel(root), {"rails": {"total": TOTAL.get(name, [])}})
    releases = {"jp4": "R32.7.1", "jp5": "R35.4.1", "jp6": "R36.3.0", "jp7": "R39.2.0"}
    release = releases.get(name[-3:])
    assert found["l4t"] == release
    assert found["jetpack"] == (int(name[-1]) if release else None)
    assert set(found["clocks"]) >= ({"gpu", "cpu"} if release else {"cpu"})
    assert all(clock["settable"] for clock in found["clocks"].values())
    assert found["model"]
    assert (found["sensor"] is None) == (name in ("raspberry-pi-4", "odroid-xu3", "odroid-xu4"))
    if name.startswith("xavier"):
        assert len(found["clocks"]["gpu"]["points_mhz"]) == 15
        assert found["clocks"]["cpu"]["n"] == 3
        assert len(found["clocks"]["emc"]["points_mhz"]) == 8
        assert found["power_mode"] == "MODE_15W_6CORE"
        assert found["sensor"]["total"] == ["VDD_IN"]
        assert found["sensor"]["now_w"] == pytest.approx(5, abs=0.05)
        assert found["zones_c"]["CPU-therm"] == 45
    assert json.dumps(found)


def test_missing_nodes_are_named(root: Path) -> None:
    build("xavier-nx-jp5", root)
    gpu = root / "sys/devices/17000000.gv11b/devfreq/17000000.gv11b"
    (gpu / "min_freq").unlink()
    kernel = FakeKernel(root)
    with (
        Journal(kernel) as journal,
        pytest.raises(MissingError, match=r"read /sys/.*min_freq: it is not"),
    ):
        pin_all(journal, find_clocks(kernel, {}), {"gpu": 510})
    with Journal(kernel) as journal, pytest.raises(MissingError, match="emc/"):
        Emc(kernel, "/sys/kernel/debug/elsewhere/emc").pin(journal, 800_000_000)


def test_without_root_the_path_and_the_permission_are_named(root: Path, monkeypatch) -> None:
    tree = build("xavier-nx-jp5", root)
    home = root / "home"
    home.mkdir()
    home.chmod(0o777)
    monkeypatch.setenv("HOME", str(home))
    kernel, before = Sysfs(str(root)), state(root)
    with as_nobody(tree), Journal(kernel) as journal:
        clocks = find_clocks(kernel, {})
        with pytest.raises(
            DeniedError, match=r"write .* to /sys/.*m.._freq: permission denied \(mode 0"
        ):
            pin_all(journal, clocks, {"gpu": 1109.25})
        assert journal.entries == []
        assert present_mhz(clocks)["gpu"] == 114.75
        assert journal.path == str(home / ".nas" / "clocks.journal")
        assert not discover(kernel, {})["clocks"]["gpu"]["settable"]
    assert state(root) == before
