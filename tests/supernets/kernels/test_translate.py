"""Machine code: its cache, broken files there, processes at first use, a missing llvmlite."""

from __future__ import annotations

import functools
import os
import sys

import pytest

from nas.board.control.journal import Journal
from nas.board.control.sysfs import BoardError, Sysfs
from nas.runtime import machine_code
from search_spaces import InputError
from supernets.kernels import jobs, translate
from supernets.ofa import locate

llvmlite = pytest.importorskip("llvmlite")


def forget(monkeypatch) -> None:
    """Nothing is loaded yet; what was stays where it is, for others have its addresses."""
    monkeypatch.setattr(translate, "_symbols", {})
    monkeypatch.setattr(translate, "_engine", functools.cache(translate._engine.__wrapped__))


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    forget(monkeypatch)
    return tmp_path / "nas" / "kernels"


@pytest.fixture
def homeless(tmp_path, monkeypatch):
    """A container's user: no HOME, and the system knows none."""

    def unknown(number: int) -> None:
        raise KeyError(number)

    for name in ("HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", unknown)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "board").touch()  # a root where no folder can be made
    return tmp_path


def test_code_is_translated_once_and_a_broken_file_is_made_anew(cache, monkeypatch) -> None:
    assert translate.address(jobs.WALK, "serial")
    (file,) = cache.iterdir()
    whole = file.read_bytes()
    for broken in (b"", whole[:-1], whole[:40] + b"?" + whole[41:]):
        file.write_bytes(broken)
        forget(monkeypatch)
        assert translate.address(jobs.WALK, "serial")
        assert file.read_bytes() == whole
    forget(monkeypatch)
    monkeypatch.setattr(translate, "compiled", lambda *a: pytest.fail("translated again"))
    assert translate.address(jobs.WALK, "parallel")


def test_a_cache_that_cannot_be_written_does_no_harm(cache) -> None:
    cache.parent.write_text("a file where the folder should be")
    assert translate.address(jobs.WALK, "serial")


def test_a_full_disk_leaves_no_half_kernel(cache, monkeypatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    assert translate.address(jobs.WALK, "serial")
    assert list(cache.iterdir()) == []


def test_a_user_without_a_home_keeps_nothing(homeless, monkeypatch) -> None:
    """`~` would be a folder of that name where the command is given."""
    forget(monkeypatch)
    assert os.path.isabs(translate.cache_folder())
    assert os.path.isabs(machine_code.cache_folder())
    assert translate.address(jobs.WALK, "serial")
    with pytest.raises(InputError, match="neither a file nor one official checkpoint"):
        locate("none")
    with pytest.raises(BoardError, match="cannot keep a journal in"):
        Journal(Sysfs(str(homeless / "board" / "nowhere")))
    assert [path.name for path in homeless.iterdir()] == ["board"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a system without fork")
def test_processes_at_first_use_do_not_collide(cache) -> None:
    children = []
    for _ in range(4):
        child = os.fork()
        if not child:
            os._exit(0 if translate.address(jobs.WALK, "serial") else 1)
        children.append(child)
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    assert codes == [0] * 4
    assert [f.suffix for f in cache.iterdir()] == [".o"]


def test_a_missing_llvmlite_is_one_line_that_says_what_to_install(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "llvmlite.binding", None)
    with pytest.warns(RuntimeWarning, match=r"they run dense, with zeros; pip install 'nas\["):
        assert translate.llvm.__wrapped__() is None


def test_an_old_llvmlite_is_one_line(monkeypatch) -> None:
    monkeypatch.setattr(llvmlite, "__version__", "0.43.0")
    with pytest.warns(RuntimeWarning, match=r"llvmlite 0\.43\.0 is older than 0\.44"):
        assert translate.llvm.__wrapped__() is None


@pytest.mark.parametrize(
    ("features", "vector", "registers"),
    [({"avx512f": 1, "avx2": 1, "fma": 1}, 16, 32), ({"avx2": 1, "fma": 1}, 8, 16)],
)
def test_vectors_follow_the_processor(monkeypatch, features, vector, registers) -> None:
    class Features(dict):
        def flatten(self):
            return ",".join(self)

    binding = translate.llvm()
    monkeypatch.setattr(binding, "get_host_cpu_features", lambda: Features(features))
    monkeypatch.setattr(binding, "get_process_triple", lambda: "x86_64-unknown-linux-gnu")
    found = translate.processor.__wrapped__()
    assert (found.vector, found.registers) == (vector, registers)
    monkeypatch.setattr(binding, "get_host_cpu_features", lambda: Features())
    with pytest.warns(RuntimeWarning, match="has no AVX2: kernels take vectors of 4"):
        assert translate.processor.__wrapped__().vector == 4
