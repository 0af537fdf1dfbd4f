"""What README and how-to show is run, in order, in one folder each."""

import re
import shlex
from pathlib import Path

import pytest
from typer.core import TyperGroup

from nas.cli.app import built
from tests.nas.conftest import nas

ROOT = Path(__file__).parents[1]


def blocks(document: str) -> list[tuple[str, str]]:
    """Language and text of the fenced blocks."""
    return re.findall(r"```(\w+)\n(.*?)```", (ROOT / document).read_text(), flags=re.DOTALL)


PAGES = ("howto", "kernels", "groups", "your-own-model")
SMALLER = {"trials 200": "trials 50", "trials 100": "trials 50", "samples 12": "samples 6"}
SHOWN = ("README.md", *(f"docs/{page}.md" for page in PAGES))


def smaller(command: str) -> str:
    """The same command with fewer trials and samples."""
    for shown, run in SMALLER.items():
        command = command.replace(f"--{shown} ", f"--{run} ")
    return command


@pytest.mark.parametrize("document", SHOWN)
def test_what_a_document_shows_works(document, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("nas.devices.catalog._FACTORIES", {})  # a document registers a device
    for language, text in blocks(document):
        if language == "python":
            exec(compile(text, document, "exec"), {})
            continue
        for line in text.splitlines():
            if line.startswith("nas "):
                done = nas(*shlex.split(smaller(line))[1:])
                assert done.code == 0, f"{line}\n{done.err}"


def test_every_command_that_stands_on_a_line_of_its_own_is_one():
    """Its options are there and none that it needs is missing; those of `sh` blocks also run."""
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))):
        for line in re.findall(r"^ *nas ([a-z].*)$", path.read_text(), flags=re.MULTILINE):
            words, command = shlex.split(line.partition("   ")[0]), built()
            while isinstance(command, TyperGroup):
                command = command.commands[words.pop(0)]
            with command.make_context("nas", words):
                pass


def test_ci_runs_the_test_command_of_the_readme():
    command = next(text for _, text in blocks("README.md") if "pytest" in text).strip()
    script = (ROOT / ".ci" / "run").read_text()
    for part in command.split(" && "):
        assert part in script


def test_every_path_that_the_readme_names_exists():
    for path in re.findall(
        r"\]\(([\w./-]+)\)|`(\w[\w-]*/[\w./]*)`", (ROOT / "README.md").read_text()
    ):
        named = "".join(path)
        if not named.startswith("runs/"):
            assert (ROOT / named).exists(), named


def test_every_test_that_the_list_of_inputs_names_exists():
    written = "".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    for name in re.findall(r"`(test_\w+)`", (ROOT / "docs" / "inputs.md").read_text()):
        assert f"def {name}(" in written, name
