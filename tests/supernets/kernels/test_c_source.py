"""The C file of a board: its check passes, and notices a wrong kernel."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from supernets.kernels import c_source


def checked(source: str, folder) -> subprocess.CompletedProcess[str]:
    (folder / "kernel.c").write_text(source)
    build = ("cc", "-O1", "-Wall", "-Werror", "-DCHECK", "kernel.c", "-o", "check", "-lm")
    subprocess.run(build, cwd=folder, check=True)
    return subprocess.run([folder / "check"], capture_output=True, text=True)


@pytest.mark.skipif(not shutil.which("cc"), reason="needs a C compiler")
@pytest.mark.parametrize("g", [4, 7])
def test_the_c_file_passes_its_check_and_a_wrong_one_does_not(g, tmp_path) -> None:
    source = c_source(g)
    assert checked(source, tmp_path).stdout == "equal\n"
    wrong = source.replace("group + 1 < w->rows", "group + 2 < w->rows")
    assert wrong != source
    broken = checked(wrong.replace("s0_0 += x0 * v[0]", "s0_0 += x0 * v[1]"), tmp_path)
    assert broken.returncode == 1
    assert "not" in broken.stdout
