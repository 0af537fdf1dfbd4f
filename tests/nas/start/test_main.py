"""The start file reads with a board's Python, and says in one line what cannot be."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from nas.export.carry import write_start
from nas.start.govern import names_of
from nas.start.main import as_options, main

START = Path(__file__).parents[3] / "nas" / "start"


@pytest.mark.parametrize("path", sorted(START.glob("*.py")), ids=lambda p: p.name)
def test_the_boards_python_reads_it(path: Path) -> None:
    tree = ast.parse(path.read_text(), feature_version=(3, 8))
    future = [n.names[0].name for n in tree.body if isinstance(n, ast.ImportFrom)]
    assert "annotations" in future or path.name == "__init__.py"


def test_the_boards_python_has_what_it_calls() -> None:
    """All that is carried: the engine and the governor too."""
    pytest.importorskip("vermin")
    folders = [str(START), str(START.parent / "runtime")]
    command = [sys.executable, "-c", "import vermin; vermin.main()", "--no-tips", "-t=3.8-"]
    options = ["--violations", "--eval-annotations", "--no-parse-comments"]
    done = subprocess.run(
        [*command, *options[::2], *folders], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


def test_the_start_file_is_small_and_always_the_same(tmp_path: Path) -> None:
    first = tmp_path / write_start(tmp_path)
    data = first.read_bytes()
    write_start(tmp_path)
    assert first.read_bytes() == data
    assert len(data) < 150_000


def test_a_message_names_what_was_typed() -> None:
    asked = {"target_ms": 1.0, "memory_mb": -1.0}
    assert as_options("`target_ms` 1 and `memory_mb`, `x`", asked) == (
        "--target-ms 1 and --memory-mb, `x`"
    )


def test_every_model_has_a_name_of_its_own() -> None:
    assert names_of(["a/eyes", "b/eyes", "c/eyes"]) == ["eyes", "eyes-2", "eyes-3"]
    assert names_of(["eyes-3", "a/eyes", "b/eyes"]) == ["eyes-3", "eyes", "eyes-2"]


def test_a_folder_without_manifest_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(str(tmp_path), ["list"])
    assert stopped.value.code == 1
    err = capsys.readouterr().err
    assert "manifest.json does not exist" in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("end_of_it", "code"),
    [
        (KeyboardInterrupt("SIGTERM"), 143),
        (KeyboardInterrupt(), 130),
        (OSError(28, "No space left on device", "state"), 1),
    ],
)
def test_a_signal_or_a_full_disk_ends_it_with_its_code(
    end_of_it: BaseException, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(folder: str) -> None:
        raise end_of_it

    monkeypatch.setattr("nas.start.main.read_manifest", stopped)
    with pytest.raises(SystemExit) as end:
        main("board", ["list"])
    assert end.value.code == code
