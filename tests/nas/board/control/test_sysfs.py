"""Files and programs of a board: every fault names the path."""

from __future__ import annotations

from pathlib import Path

import pytest

from nas.board.control import sysfs as sysfs_module
from nas.board.control.sysfs import BoardError, MissingError, OffError, Sysfs
from tests.nas.board.fake_board import FakeKernel


def program(root: Path, text: str) -> None:
    path = root / "usr/bin/tool"
    path.parent.mkdir(parents=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def test_zones_are_found_in_the_order_of_their_numbers(root: Path) -> None:
    for n in (10, 2, 1):
        (root / f"sys/zone{n}").mkdir(parents=True)
    assert Sysfs(str(root)).find("/sys/zone*") == ["/sys/zone1", "/sys/zone2", "/sys/zone10"]


def test_a_write_never_makes_a_file(root: Path) -> None:
    (root / "sys").mkdir()
    with pytest.raises(MissingError, match="cannot write 3 to /sys/x: it is not there"):
        Sysfs(str(root)).write("/sys/x", 3)
    (root / "sys/x").write_text("12345")
    Sysfs(str(root)).write("/sys/x", 3)
    assert Sysfs(str(root)).number("/sys/x") == 3


def test_what_is_no_number_is_shown(root: Path) -> None:
    (root / "x").write_text("fast\n\0")
    with pytest.raises(BoardError, match="/x holds 'fast', expected a whole number"):
        Sysfs(str(root)).number("/x")


def test_a_busy_file_is_one_whose_cores_are_off(root: Path) -> None:
    with pytest.raises(OffError, match="cannot read /sys/x: busy; its cores are off"):
        FakeKernel(root, errors={"/sys/x": 16}).read("/sys/x")


def test_a_program_that_is_not_there_fails_or_never_answers(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    board = Sysfs(str(root))
    with pytest.raises(MissingError, match="tool is not on this board"):
        board.run("tool")
    answers = 'ok) echo "got $1";; wait) sleep 9;; *) echo no; exit 3;;'
    program(root, f"read x; case $x in {answers} esac")
    assert board.run("tool", "-q", answer="ok\n") == "got -q\n"
    with pytest.raises(BoardError, match="`/usr/bin/tool -q` ended with code 3 and said: no"):
        board.run("tool", "-q", answer="\n")
    monkeypatch.setattr(sysfs_module, "RUN_TIMEOUT_S", 0.2)
    with pytest.raises(BoardError, match=r"gave no answer within 0.2 s"):
        board.run("tool", answer="wait\n")
