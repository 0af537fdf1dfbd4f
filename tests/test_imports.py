"""Imports point one way, nothing is unpickled, and the command line starts light."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterable
from functools import cache
from graphlib import TopologicalSorter
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
ROOMS: dict[str, set[str]] = {  # rooms of `nas`, and the rooms above them that they may import
    "version": set(),
    "called": set(),
    "clash": set(),
    "files": set(),
    "given": set(),
    "words": set(),
    "board": set(),
    "runtime": set(),
    "start": {"board", "runtime"},
    "onnx": set(),
    "pareto": {"files", "given"},
    "samplers": {"pareto"},
    "cluster": {"files"},
    "devices": {"board", "called", "given", "onnx", "runtime", "words"},
    "zoo": {"devices", "files", "pareto", "words"},
    "remote": {"devices", "onnx"},
    "operating": {"devices", "pareto"},
    "transfer": {"devices", "files", "pareto", "words"},
    "measure": {"called", "cluster", "devices", "files", "given", "pareto", "remote", "words"},
    "report": {"files", "pareto", "runtime", "words"},
    "export": {
        *{"called", "devices", "files", "given", "onnx"},
        *{"pareto", "runtime", "version", "zoo"},
    },
    "search": {
        *{"called", "cluster", "devices", "files", "given", "measure", "pareto"},
        *{"remote", "report", "samplers", "transfer", "version", "words", "zoo"},
    },
}
ROOMS["api"] = {
    *{"devices", "export", "files", "given", "measure", "pareto", "runtime", "search", "zoo"},
}
ROOMS["cli"] = set(ROOMS)
ROOMS["__main__"] = {"cli"}
SEARCH = ("score", "front", "images", "study")
"""Rooms of `nas.search`: each may import those before it."""
SHIPPED = {ROOT / "nas" / "runtime", ROOT / "nas" / "board"}
MODULES = sorted(path for package in MAY_IMPORT for path in (ROOT / package).rglob("*.py"))
PICKLING = {"pickle", "cPickle", "cloudpickle", "dill", "joblib", "shelve", "marshal"}
UNPICKLING = {"torch.save", "pd.read_pickle", "eval", "exec"}
HEAVY = ("torch", "xgboost", "ray", "optuna", "sklearn", "pandas", "onnx")


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def nodes(path: Path) -> tuple[ast.AST, ...]:
    """All nodes of a file, at any depth of the code."""
    return tuple(ast.walk(parsed(path)))


@cache
def imports(path: Path) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Every absolutely imported module with the names taken from it."""
    found: list[tuple[str, tuple[str, ...]]] = []
    for node in nodes(path):
        if isinstance(node, ast.Import):
            found += [(alias.name, ()) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.append((node.module or "", tuple(alias.name for alias in node.names)))
    return tuple(found)


def package(path: Path) -> str:
    return path.relative_to(ROOT).parts[0]


def ours(path: Path) -> set[str]:
    """Our packages that a file imports from."""
    return {module.split(".")[0] for module, _ in imports(path)} & set(MAY_IMPORT)


def none_of(faults: Iterable[Path]) -> None:
    """No file may have the fault; those that have it are named."""
    assert not [str(path.relative_to(ROOT)) for path in faults]


def test_imports_are_absolute() -> None:
    """But for what is copied to a board under another name, which imports itself alone."""

    def levels(path: Path) -> set[int]:
        return {node.level for node in nodes(path) if isinstance(node, ast.ImportFrom)}

    shipped = {path for path in MODULES if SHIPPED & set(path.parents)}
    none_of(path for path in shipped if ours(path) or not levels(path) <= {0, 1, 2})
    none_of(path for path in set(MODULES) - shipped if not levels(path) <= {0})


def test_imports_point_one_way() -> None:
    none_of(
        path for path in MODULES if not ours(path) - {package(path)} <= MAY_IMPORT[package(path)]
    )


def rooms_used(folder: Path) -> set[str]:
    """Names directly below `nas` that the files of a folder (or one file) import."""
    paths = folder.rglob("*.py") if folder.is_dir() else [folder.with_suffix(".py")]
    found = [module.split(".") for path in paths for module, _ in imports(path)]
    return {parts[1] for parts in found if parts[0] == "nas" and len(parts) > 1}


@pytest.mark.parametrize("room", ROOMS)
def test_rooms_of_nas_import_what_they_may(room: str) -> None:
    assert rooms_used(ROOT / "nas" / room) - {room} <= ROOMS[room]


def test_the_table_of_rooms_is_whole_and_points_one_way() -> None:
    names = list(ROOMS)
    assert all(ROOMS[room] <= set(names[: names.index(room)]) for room in names)
    found = {path.stem for path in (ROOT / "nas").iterdir() if path.suffix in {"", ".py"}}
    assert found - {"__init__", "__pycache__"} == set(names)


@pytest.mark.parametrize("room", SEARCH)
def test_rooms_of_the_search_point_one_way(room: str) -> None:
    used = {
        module.split(".")[2]
        for path in (ROOT / "nas" / "search" / room).rglob("*.py")
        for module, _ in imports(path)
        if module.startswith("nas.search.")
    }
    assert not used & set(SEARCH[SEARCH.index(room) + 1 :])


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def test_files_import_each_other_in_no_circle() -> None:
    known = {module_of(path) for path in MODULES}
    graph = {
        module_of(path): {
            inner if inner in known else module
            for module, names in imports(path)
            for inner in ([f"{module}.{name}" for name in names] or [module])
            if module in known
        }
        for path in MODULES
    }
    tuple(TopologicalSorter(graph).static_order())  # names the circle where there is one


def test_siblings_use_the_public_api() -> None:
    """Of another package what an `__all__` holds: a package's own, or that of a file with one."""

    def private(module: str, names: tuple[str, ...]) -> bool:
        return not set(names) <= set(getattr(import_module(module), "__all__", ()))

    for path in MODULES:
        others = set(MAY_IMPORT) - {package(path)}
        for module, names in imports(path):
            if module.split(".")[0] in others:
                assert not private(module, names), f"{path}: {module}: {names}"


@pytest.mark.parametrize("name", ["search_spaces", "supernets", "supernets.training"])
def test_public_names_exist(name: str) -> None:
    module = import_module(name)
    assert all(hasattr(module, name) for name in module.__all__)
    assert len(set(module.__all__)) == len(module.__all__)


def unpickles(path: Path) -> bool:
    roots = {module.split(".")[0] for module, _ in imports(path)}
    calls = [node for node in nodes(path) if isinstance(node, ast.Call)]
    foreign = [call for call in calls if ast.unparse(call.func) == "torch.load"]
    unsafe = [  # foreign checkpoints: tensors and nothing else
        call
        for call in foreign
        if {k.arg: ast.unparse(k.value) for k in call.keywords}.get("weights_only") != "True"
    ]
    allowed = [
        node
        for node in nodes(path)
        if isinstance(node, ast.keyword)
        and node.arg == "allow_pickle"
        and ast.unparse(node.value) != "False"
    ]
    called = {ast.unparse(call.func) for call in calls}
    return bool(roots & PICKLING or called & UNPICKLING or unsafe or allowed)


def test_nothing_is_unpickled() -> None:
    none_of(path for path in MODULES if unpickles(path))


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
