"""The line to the host: plans in, messages out, and what happens when it breaks."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path

import pytest

from nas.board.bench import link as link_module
from nas.board.bench.link import Link
from nas.board.control.sysfs import BoardError

PLAN = b'{"plan": {"clocks": "auto"}}\n{"task": {"id": "a"}}\n{"end": true}\n'


def reading(data: bytes, folder: Path) -> Link:
    (folder / "in").write_bytes(data)
    link = Link(io.FileIO(folder / "out", "w"))
    link.source = io.FileIO(folder / "in")
    return link


def test_a_plan_is_read_up_to_its_last_line(tmp_path: Path) -> None:
    link = reading(PLAN + b'{"forget": true}\n', tmp_path)
    assert link.plan() == ({"clocks": "auto"}, [{"id": "a"}])
    assert not link.forget
    link.listen()
    assert link.closed.wait(5)
    assert link.forget


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (PLAN[:-15], "the plan ended before its last line"),
        (b"nonsense\n", "a line that is no JSON: b'nonsense'"),
        (b"[1]\n", r"a line that is no object: b'\[1\]'"),
        (b"[" * 100_000 + b"\n", "a line that is no JSON"),
        (b"x" * (1 << 18), "a line of over 65536 bytes"),
    ],
)
def test_what_is_no_plan(
    tmp_path: Path, data: bytes, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link_module, "MAX_LINE", 1 << 16)
    with pytest.raises(BoardError, match=words):
        reading(data, tmp_path).plan()


def test_a_broken_line_ends_no_measurement(tmp_path: Path) -> None:
    there, here = os.pipe()
    link = Link(io.FileIO(here, "w"))
    link.say({"row": {"id": "a"}})
    assert json.loads(os.read(there, 1 << 16)) == {"row": {"id": "a"}}
    os.close(there)
    link.say({"row": {"id": "b"}})  # the pipe is gone
    link.say({"row": {"id": "c"}})
