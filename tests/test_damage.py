"""Damaged files of every kind that is read: an equal result or one line, never a traceback.

A file is changed by chance: bits flipped, cut, repeated, a figure replaced by one that cannot be, a
field dropped, brackets without end. The suite tries some thousand; `-m slow` two hundred thousand.
No answer takes 10 s or 1 GiB. A reader that no format here goes through fails the last test.
"""

from __future__ import annotations

import ast
import os
import random
import shutil
import sys
import threading
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import pytest

from nas.board.control.sysfs import BoardError
from nas.runtime import ManifestError
from search_spaces import InputError
from tests.damage import damaged, limits
from tests.formats import FORMATS, PARQUET, REPO

REFUSED = (InputError, BoardError, ManifestError)
N_SLOW = 200_000
OUR_OWN = {  # in a folder of the process itself, or no file at all
    *("board's line", "board's rows", "plan for a board", "trtexec's times", "trtexec's notes")
}


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda number: None)


def answer(name: str, path: Path) -> str:
    """What the reader says of a file: its answer, or its one line."""
    try:
        with limits():
            return repr(FORMATS[name].read(path))
    except REFUSED as error:
        said = str(error).strip()
        assert said, name
        assert "\n" not in said, said
        return ""


def made(name: str, folder: Path) -> Path:
    path = folder / FORMATS[name].file
    path.parent.mkdir(parents=True, exist_ok=True)
    FORMATS[name].make(path)
    return path


def try_damage(name: str, seeds: range, folder: Path) -> None:
    """Damaged copies of one format, each by its seed, so that a fault can be seen again."""
    path = made(name, folder)
    data = path.read_bytes()
    FORMATS[name].read(path)  # libraries that it loads reserve memory of their own
    whole = answer(name, path)
    for seed in seeds:
        changed = damaged(data, random.Random(f"{name} {seed}"))
        path.write_bytes(changed)
        try:
            found = answer(name, path)
        except BaseException as error:
            error.add_note(f"{name}, seed {seed}")
            raise
        vouched = FORMATS[name].vouched
        if vouched is not None and vouched in changed:
            assert found in ("", whole), (name, seed)


@pytest.mark.parametrize("name", FORMATS)
def test_damage_is_one_line(name: str, tmp_path: Path) -> None:
    try_damage(name, range(FORMATS[name].n), tmp_path)


def test_there_are_five_thousand_of_them() -> None:
    assert sum(kind.n for kind in FORMATS.values()) >= 5_000


@pytest.mark.slow
@pytest.mark.parametrize("name", FORMATS)
def test_two_hundred_thousand_damaged_files(name: str, tmp_path: Path) -> None:
    """More of what costs less; NAS_FUZZ_SEED starts elsewhere, so that another run sees others."""
    start = int(os.environ.get("NAS_FUZZ_SEED", "0"))
    share = FORMATS[name].n / sum(kind.n for kind in FORMATS.values())
    try_damage(name, range(start, start + round(N_SLOW * share) + 1), tmp_path)


@pytest.mark.parametrize("name", sorted(FORMATS.keys() - OUR_OWN))
def test_what_is_no_file_or_without_end_is_one_line(name: str, tmp_path: Path) -> None:
    """A folder, a pipe that nobody writes to, nothing, a link to nowhere, a hole of 6 GiB."""
    path = made(name, tmp_path)
    FORMATS[name].read(path)
    path.unlink()
    path.mkdir()
    answer(name, path)
    shutil.rmtree(path, ignore_errors=True)
    path.unlink(missing_ok=True)
    os.mkfifo(path)
    answer(name, path)
    path.unlink(missing_ok=True)
    path.write_bytes(b"")
    answer(name, path)
    path.unlink(missing_ok=True)
    path.symlink_to("nowhere")
    answer(name, path)
    path.unlink(missing_ok=True)
    with path.open("wb") as file:
        file.truncate(6 << 30)
    answer(name, path)
    path.unlink(missing_ok=True)


READS = {"read_text", "read_bytes", "fromfile", "read_parquet", "open", "is_zipfile", "ZipFile"}
READS |= {"load_file", "safe_open", "create_engine", "InferenceSession", "read_csv", "memmap"}
OF = {"load": ("np", "numpy", "torch", "onnx"), "open": ("os", "gzip", "Image", "tarfile")}
OURS = ("search_spaces", "supernets", "predictors", "nas")
OTHERWISE = {
    "nas/api.py:measure": "rows that it has just measured",
    "nas/board/bench/agent.py:main": "opens the stream that `Link` reads: plan for a board",
    "nas/board/bench/rows.py:Rows.append": "its own file: tests of killed agents",
    "nas/board/bench/runners.py:_onnxruntime": "segments that the host sent with their checksums",
    "nas/board/control/guard.py:main": "a lock: `Journal` reads what it holds",
    "nas/board/control/sysfs.py:Sysfs.raw_read": "the kernel's files: tests/nas/board/control",
    "nas/board/control/sysfs.py:Sysfs.raw_write": "writes",
    "nas/devices/backends/onnx_runtime.py:session_of": "a network made by us, in memory",
    "nas/onnx/int8.py:quantised": "a file that ONNX Runtime has just written",
    "nas/cli/plan.py:print_plan": "compared with what would be written, and no more",
    "nas/start/main.py:main": "/dev/null",
    "nas/devices/host.py:cpu_mhz": "the kernel's files",
    "nas/devices/host.py:cpu_name": "the kernel's files",
    "nas/export/int8.py:quantised_segments": "a network made by us, in memory",
    "nas/export/one.py:table_of_one": "`parse(read_text())` and nothing else: configuration",
    "nas/export/write.py:_described": "a file that it has just written",
    "nas/export/carry.py:write_start": "our own programs",
    "supernets/ofa.py:_space": "`from_ofa(json_object())`, as configuration",
    "nas/start/benchmark.py:resident_mb": "the kernel's files",
    "nas/files.py:sha256_of": "any bytes have a checksum",
    "nas/zoo/folder.py:by_hand": "`read_text` and nothing else: card",
    "nas/remote/ssh.py:pack": "our own programs",
    "nas/runtime/engine.py:Engine._made": "files whose checksums the manifest holds: segment",
    "nas/runtime/machine_code.py:_object": "tests/supernets/kernels/test_program.py",
    "nas/runtime/program.py:read_kernels": "tests/nas/export/test_pruned.py",
    "nas/search/study/storage.py:KernelLock.acquire": "looks for a last line end",
    "nas/search/study/storage.py:turns": "a lock of the database server",
    "nas/transfer/saved.py:save_pool": "a file that it has just written",
    "search_spaces/files.py:_sync_folder": "a folder",
    "supernets/data/imagenet.py:synsets": "our own list",
    "supernets/kernels/translate.py:_generators": "our own programs",
    "supernets/kernels/translate.py:_object": "a kernel that the compiler has just made",
    "nas/zoo/pruned.py:read_pruned": "`json_object(read_text())` and nothing else: run",
    "supernets/ofa_file.py:_why": "the first bytes of a file that was refused",
    "supernets/checkpoint.py:sha256": "any bytes have a checksum",
}
if not PARQUET:
    OTHERWISE["predictors/cells.py:_read_parquet"] = "where the extra is installed"
"""Readers that no format goes through, and why."""


def readers() -> set[str]:
    """`file:function` of everything that opens a file to read it."""
    found = set()
    for top in OURS:
        for path in (REPO / top).rglob("*.py"):
            text = path.read_text()
            if any(f"{name}(" in text for name in {*READS, "load"}):  # parsing takes a second
                visit(ast.parse(text), path.relative_to(REPO).as_posix(), [], found)
    return found


def visit(node: ast.AST, file: str, inside: list[str], found: set[str]) -> None:
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        inside = [*inside, node.name]
    if isinstance(node, ast.Call) and is_read(node):
        found.add(f"{file}:{'.'.join(inside)}")
    for child in ast.iter_child_nodes(node):
        visit(child, file, inside, found)


def is_read(call: ast.Call) -> bool:
    name = getattr(call.func, "attr", None) or getattr(call.func, "id", "")
    base = getattr(getattr(call.func, "value", None), "id", "")
    if name == "load":
        return base in OF["load"]
    if name not in READS:
        return False
    modes = [a.value for a in call.args if isinstance(a, ast.Constant) and isinstance(a.value, str)]
    writes = any(mode[:1] in "wxa" and "+" not in mode and len(mode) < 4 for mode in modes)
    return not (name == "open" and writes)


def test_every_reader_is_damaged(tmp_path: Path) -> None:
    """What is run while the whole files are read, against what is written in the code."""
    seen: set[CodeType] = set()

    def note(frame: FrameType, event: str, argument: Any) -> None:
        seen.add(frame.f_code)

    for number, name in enumerate(FORMATS):
        path = made(name, tmp_path / str(number))
        threading.setprofile(note)
        sys.setprofile(note)
        try:
            FORMATS[name].read(path)
        finally:
            sys.setprofile(None)
            threading.setprofile(None)  # type: ignore[arg-type]
    ours = [code for code in seen if code.co_filename.startswith(str(REPO))]
    run = {
        f"{Path(code.co_filename).relative_to(REPO).as_posix()}:"
        f"{code.co_qualname.replace('.<locals>', '')}"
        for code in ours
    }
    new = ", ".join(sorted(readers() - run - OTHERWISE.keys()))
    assert new == "", "a format in tests/formats/ has to go through it"
    assert not OTHERWISE.keys() - readers(), "no reader any more"
