"""Imports point one way, nothing is unpickled, and the command line starts light."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MAY_IMPORT = {
    "search_spaces": set(),
    "supernets": {"search_spaces"},
    "predictors": {"search_spaces"},
    "nas": {"search_spaces", "supernets", "predictors"},
}
ROOMS = {  # folders of `nas`, and what of `nas` they may import
    "samplers": {"pareto"},
    "transfer": {"devices", "files", "pareto"},
    "cluster": {"files"},
    "zoo": {"files", "pareto"},
}
SHIPPED = {ROOT / "nas" / "runtime", ROOT / "nas" / "board"}
MODULES = sorted(path for package in MAY_IMPORT for path in (ROOT / package).rglob("*.py"))
HEAVY = ("torch", "xgboost", "ray", "optuna", "sklearn", "pandas", "onnx")

every_module = pytest.mark.parametrize(
    "path", MODULES, ids=[str(path.relative_to(ROOT)) for path in MODULES]
)


def imports(tree: ast.Module) -> Iterator[tuple[str, list[str]]]:
    """Every imported module with the names taken from it, at any depth of the code."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, []) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module or "", [alias.name for alias in node.names]


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@every_module
def test_imports_are_absolute(path: Path) -> None:
    """But for what is copied to a board under another name, which imports itself alone."""
    tree = parsed(path)
    levels = {node.level for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    if SHIPPED & set(path.parents):
        assert levels <= {0, 1, 2}
        assert not {module.split(".")[0] for module, _ in imports(tree)} & set(MAY_IMPORT)
    else:
        assert levels <= {0}


@every_module
def test_imports_point_one_way(path: Path) -> None:
    package = path.relative_to(ROOT).parts[0]
    ours = {module.split(".")[0] for module, _ in imports(parsed(path))} & set(MAY_IMPORT)
    assert ours - {package} <= MAY_IMPORT[package]


@pytest.mark.parametrize("room", ROOMS)
def test_rooms_of_nas_import_what_they_may(room: str) -> None:
    paths = sorted((ROOT / "nas" / room).rglob("*.py"))
    found = [module.split(".") for path in paths for module, _ in imports(parsed(path))]
    ours = {parts[1] for parts in found if parts[0] == "nas" and len(parts) > 1}
    assert ours - {room} <= ROOMS[room]


@every_module
def test_siblings_use_the_public_api(path: Path) -> None:
    """Another package is imported as a package, for names that its `__all__` holds."""
    package = path.relative_to(ROOT).parts[0]
    for module, names in imports(parsed(path)):
        if module.split(".")[0] in set(MAY_IMPORT) - {package}:
            folder = ROOT.joinpath(*module.split("."))
            assert (folder / "__init__.py").is_file(), f"{module} is private"
            assert set(names) <= set(import_module(module).__all__)


@pytest.mark.parametrize("package", ["search_spaces", "supernets", "supernets.training"])
def test_public_names_exist(package: str) -> None:
    module = import_module(package)
    assert all(hasattr(module, name) for name in module.__all__)
    assert len(set(module.__all__)) == len(module.__all__)


@every_module
def test_nothing_is_unpickled(path: Path) -> None:
    tree = parsed(path)
    roots = {module.split(".")[0] for module, _ in imports(tree)}
    assert not roots & {"pickle", "cPickle", "cloudpickle", "dill", "joblib", "shelve", "marshal"}
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    called = {ast.unparse(call.func) for call in calls}
    assert not called & {"torch.save", "pd.read_pickle", "eval", "exec"}
    for call in calls:
        if ast.unparse(call.func) == "torch.load":  # foreign checkpoints: tensors and nothing else
            assert {k.arg: ast.unparse(k.value) for k in call.keywords}["weights_only"] == "True"
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword) and node.arg == "allow_pickle":
            assert ast.unparse(node.value) == "False"


def loaded_by(statement: str) -> set[str]:
    """Top-level modules that a fresh interpreter has after `statement`."""
    code = f"{statement}\nimport sys\nprint(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return {name.split(".")[0] for name in done.stdout.split()}


def test_search_spaces_need_numpy_alone() -> None:
    assert not loaded_by("import search_spaces") & {*HEAVY, "scipy", "supernets", "predictors"}


def test_supernets_need_torch_alone() -> None:
    others = {"xgboost", "ray", "optuna", "sklearn", "pandas", "PIL"}
    assert not loaded_by("import supernets") & others


@pytest.mark.skipif(
    not (ROOT / "nas" / "cli" / "app.py").is_file(), reason="nas/cli/app.py is not there yet"
)
def test_the_command_line_starts_light() -> None:
    modules = [
        f"nas.cli.{path.stem}"
        for path in sorted((ROOT / "nas" / "cli").glob("*.py"))
        if path.stem != "__init__"
    ]
    assert not loaded_by(f"import {', '.join(modules)}") & set(HEAVY)
