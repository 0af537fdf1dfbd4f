"""The site of these documents: `sphinx-build -W docs build/site`, offline, with no other fonts.

Sphinx with furo: autodoc is part of it and the search works from a file. mkdocs-material needs a
plugin for each of the two, and weighs two and a half times as much (9.3 MB against 3.9 and 0.3).
"""

from __future__ import annotations

import json
import re
from importlib.metadata import version as version_of
from pathlib import Path

from sphinx.application import Sphinx

ROOT = Path(__file__).parents[1]
project = "nas"
author = "the authors of nas"
version = release = version_of("nas")
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.viewcode"]
source_suffix = {".md": "markdown", ".ipynb": "markdown"}
html_theme = "furo"
html_title = f"nas {version}"
html_show_sphinx = html_show_copyright = html_copy_source = False
html_static_path: list[str] = []
myst_heading_anchors = 3
nitpicky = False
default_role = "code"  # docstrings mark names as Markdown does
autodoc_typehints = "description"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True


def as_markdown(notebook: str) -> str:
    """A notebook as the Markdown of its cells, each with what it printed."""
    parts = []
    for cell in json.loads(notebook)["cells"]:
        text = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(text)
            continue
        parts.append(f"```python\n{text}\n```")
        for output in cell["outputs"]:
            shown = output.get("text") or output.get("data", {}).get("text/plain", "")
            parts.append(f"```text\n{''.join(shown).rstrip()}\n```")
    return "\n\n".join(parts) + "\n"


def read_source(app: Sphinx, docname: str, source: list[str]) -> None:
    """Notebooks as Markdown; a line `<!-- FILE.md -->` is that file of the root, links and all."""
    if app.env.doc2path(docname).suffix == ".ipynb":
        source[0] = as_markdown(source[0])

    def included(found: re.Match[str]) -> str:
        text = (ROOT / found[1]).read_text(encoding="utf-8").replace("](docs/", "](")
        return re.sub(
            r"\]\((CONTRIBUTING|CHANGELOG)\.md\)", lambda m: f"]({m[1].lower()}.md)", text
        )

    source[0] = re.sub(r"^<!-- ([A-Z]+\.md) -->$", included, source[0], flags=re.MULTILINE)


def setup(app: Sphinx) -> None:
    app.connect("source-read", read_source)
