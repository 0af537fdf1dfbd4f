"""The architecture document against the code: its tree, its paths, the size of what is exported."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("nas", "predictors", "search_spaces", "supernets")
DOCUMENT = (ROOT / "docs" / "architecture.md").read_text()
FOLDERS = sorted(path.parent for name in PACKAGES for path in (ROOT / name).rglob("__init__.py"))
ROOTS = "|".join([*PACKAGES, "tests", "benchmarks", "docs"])
PATH = re.compile(rf"(?<![\w./-])((?:{ROOTS})/[\w./-]*\w)")
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
PAGE = 60
"""Names that an `__init__` may export."""

every_folder = pytest.mark.parametrize("folder", FOLDERS, ids=lambda f: str(f.relative_to(ROOT)))


def sentence(folder: Path) -> str:
    """The first paragraph of a folder's docstring."""
    docstring = ast.get_docstring(ast.parse((folder / "__init__.py").read_text())) or ""
    return docstring.partition("\n\n")[0]


def tree() -> list[str]:
    """The folders that hold code, each with what it says of itself."""

    def line(folder: Path) -> str:
        depth = len(folder.relative_to(ROOT).parts) - 1
        return f"    {'  ' * depth + folder.name + '/':<18}{sentence(folder)}"

    return list(map(line, FOLDERS))


def test_the_tree_of_the_document_is_the_one_on_disk() -> None:
    section = DOCUMENT.split("## The folders\n\n")[1].split("\n\n")[0]
    assert section.splitlines() == tree(), "\n" + "\n".join(tree())


@every_folder
def test_a_folder_says_what_it_is_in_one_sentence(folder: Path) -> None:
    said = sentence(folder)
    assert said.endswith(".")
    assert "\n" not in said


@every_folder
def test_no_folder_exports_more_than_a_page(folder: Path) -> None:
    body = ast.parse((folder / "__init__.py").read_text()).body
    names = [
        alias.name
        for node in body
        if isinstance(node, ast.ImportFrom) and node.module != "__future__"
        for alias in node.names
    ]
    assert len(names) <= PAGE


def test_every_folder_with_code_is_a_package_of_ours() -> None:
    holding = {path.parent for name in PACKAGES for path in (ROOT / name).rglob("*.py")}
    assert holding == set(FOLDERS)


def test_the_words_are_few_and_said_once() -> None:
    table = DOCUMENT.split("## Words\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| ([^|]+) \| ", table, flags=re.MULTILINE)[1:]
    words = [word for row in rows for word in row.split(", ")]
    assert len(rows) <= 40
    assert len(set(words)) == len(words)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_file_that_a_document_names_exists(document: Path) -> None:
    found = set(PATH.findall(document.read_text()))
    assert not {name for name in found if "NAME" not in name and not (ROOT / name).exists()}


def test_tests_lie_where_the_code_lies() -> None:
    """`tests/nas/pareto/test_fronts.py` or `test_fronts_speed.py` is of `nas/pareto/fronts.py`.

    What is of a whole folder is called after it: `tests/nas/samplers/test_samplers.py`.
    """

    def has_code(path: Path) -> bool:
        folder = ROOT / path.parent.relative_to(ROOT / "tests")
        words = path.stem.removeprefix("test_").split("_")
        names = ["_".join(words[: n + 1]) for n in range(len(words))]
        code = [folder.name, *(item.stem.strip("_") for item in folder.iterdir())]
        return bool(set(names) & set(code))

    tests = (path for path in (ROOT / "tests").rglob("test_*.py") if path.parent.name != "tests")
    assert not [str(path.relative_to(ROOT)) for path in tests if not has_code(path)]


def test_the_readme_maps_every_room() -> None:
    """Packages by name, the rooms of `nas` one by one."""
    table = (ROOT / "README.md").read_text().split("## Map of the code\n")[1]
    mapped = set(re.findall(r"`([\w/]+)/`", table.partition("How the parts fit")[0]))
    rooms = {f.relative_to(ROOT).as_posix() for f in FOLDERS if f.parent == ROOT / "nas"}
    assert rooms | set(PACKAGES[1:]) | {"tests", "benchmarks", "docs"} == {
        name for name in mapped if name != "supernets/zoo"
    }


def test_a_benchmark_runs_as_a_script() -> None:
    """Its own folder is on the path then, and the project's root is not."""
    texts = {path.name: path.read_text() for path in (ROOT / "benchmarks").glob("*.py")}
    assert not [
        name for name, text in texts.items() if re.search(r"(from|import) benchmarks", text)
    ]
