"""The site of the documents: whole, without a dead link, and its tutorial runs."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

DOCS = Path(__file__).parents[1] / "docs"
PAGES = sorted(path for path in DOCS.iterdir() if path.suffix in {".md", ".ipynb"})
TUTORIAL: list[dict[str, Any]] = json.loads((DOCS / "tutorial.ipynb").read_text())["cells"]
CODE = [cell for cell in TUTORIAL if cell["cell_type"] == "code"]


def test_every_page_is_in_the_contents() -> None:
    trees = re.findall(r"```\{toctree\}\n(.*?)```", (DOCS / "index.md").read_text(), re.DOTALL)
    listed = [line for tree in trees for line in tree.splitlines() if re.fullmatch(r"[\w-]+", line)]
    assert sorted(listed) == sorted({path.stem for path in PAGES} - {"index"})


def anchors(page: Path) -> set[str]:
    """Those that GitHub and MyST make of the headings."""
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    titles = re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", t.lower()).strip().replace(" ", "-") for t in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for file, anchor in re.findall(r"\]\(([\w./-]*?)(?:#([\w-]+))?\)", text):
        to = (page.parent / file) if file else page
        assert to.exists(), f"{page.name}: {file}"
        assert not anchor or anchor in anchors(to), f"{page.name}: {file}#{anchor}"


def test_the_tutorial_shows_what_its_cells_print() -> None:
    for cell in CODE:
        assert cell["outputs"]
        assert ast.parse("".join(cell["source"])).body


@pytest.mark.slow
def test_the_tutorial_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cell by cell in one namespace, as a notebook's kernel does."""
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for cell in CODE:
        exec(compile("".join(cell["source"]), "tutorial.ipynb", "exec"), names)
    assert (tmp_path / "board" / "manifest.json").is_file()
    assert names["saved"] > 20  # type: ignore[operator]


@pytest.mark.slow
def test_the_site_is_built_without_a_warning(tmp_path: Path) -> None:
    pytest.importorskip("sphinx", reason="needs the extra docs")
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", str(DOCS), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for page in PAGES:
        html = (tmp_path / f"{page.stem}.html").read_text(encoding="utf-8")
        assert not re.search(r"(?:src|href)=\"(?:https?:)?//[^\"]+\.(?:js|css|woff2?)", html)
    assert "nas.api.search" in (tmp_path / "api.html").read_text(encoding="utf-8")
