"""How others write a cell of NAS-Bench-201; each reader gives an operation for every edge.

- the benchmark itself: `|op~0|+|op~0|op~1|+|op~0|op~1|op~2|`, the number is the source node;
- NASLib: `(4, 0, 3, 1, 4, 3)`, indices of its own operations for its own order of edges
  (`naslib/search_spaces/nasbench201/conversions.py`);
- AutoDL-Projects: `[(("op", 0),), (("op", 0), ("op", 1)), ...]`, node by node (`Structure`);
- NNI: `{'0_1': 'conv_3x3', ...}` (`nni.nas.benchmarks.nasbench201`).
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping

from search_spaces.errors import InputError

Edge = tuple[int, int]  # source and target node
NASLIB = ("skip_connect", "none", "nor_conv_3x3", "nor_conv_1x1", "avg_pool_3x3")
NASLIB_EDGES = ((0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3))
NNI = {"conv_1x1": "nor_conv_1x1", "conv_3x3": "nor_conv_3x3"}
MAX_CHARS = 1000
STRUCTURE = "Structure(4 nodes with "  # how AutoDL-Projects prints one


def read_cell(text: str) -> dict[Edge, str] | None:
    """Operations by edge of a cell in one of the dialects; None where it is written in none.

    InputError: the dialect is known, and the cell is none.
    """
    text = text.strip()
    if len(text) > MAX_CHARS:
        return None
    if text.startswith("|") or text.startswith(STRUCTURE):
        return _benchmark(text.removeprefix(STRUCTURE).removesuffix(")").replace(" ", ""))
    if re.fullmatch(r"[(\[][-\d,\s]*[)\]]", text):
        return _naslib(text)
    if text.startswith("{"):
        return _nni(text)
    if re.match(r"[(\[]\s*[(\[]", text):
        return _autodl(text)
    if re.match(r"Genotype\(|.*\bnormal\s*=", text):
        raise _fault("NAS-Bench-201", text, "it is a genotype of DARTS, another search space")
    return None


def _benchmark(text: str) -> dict[Edge, str]:
    cell: dict[Edge, str] = {}
    for node, inputs in enumerate(text.split("+"), start=1):
        edges = re.fullmatch(r"\|((?:[^|~+]+~\d+\|)+)", inputs)
        if edges is None:
            raise _fault("NAS-Bench-201", text, f"node {node} must look like |op~0|op~1|")
        for name, source in re.findall(r"([^|~]+)~(\d+)\|", edges[1]):
            if (int(source), node) in cell:
                raise _fault("NAS-Bench-201", text, f"node {node} has two inputs ~{source}")
            cell[int(source), node] = name
    return cell


def _naslib(text: str) -> dict[Edge, str]:
    numbers = [int(n) for n in re.findall(r"-?\d+", text)]
    if len(numbers) != len(NASLIB_EDGES) or not all(0 <= n < len(NASLIB) for n in numbers):
        raise _fault("NASLib", text, "it must be six numbers from 0 to 4")
    return {edge: NASLIB[n] for edge, n in zip(NASLIB_EDGES, numbers, strict=True)}


def _nni(text: str) -> dict[Edge, str]:
    try:
        found = ast.literal_eval(text)
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        found = None
    if not isinstance(found, Mapping):
        raise _fault("NNI", text, "it is no dictionary")
    cell: dict[Edge, str] = {}
    for key, name in found.items():
        edge = re.fullmatch(r"(\d)_(\d)", str(key))
        if edge is None:
            raise _fault("NNI", text, f"an edge is written '0_1', found {key!r}")
        cell[int(edge[1]), int(edge[2])] = NNI.get(str(name), str(name))
    return cell


def _autodl(text: str) -> dict[Edge, str]:
    try:
        nodes = ast.literal_eval(text)
        found = [
            ((int(source), node), str(name))
            for node, inputs in enumerate(nodes, start=1)
            for name, source in inputs
        ]
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        raise _fault("AutoDL-Projects", text, "a node is (('op', 0), ('op', 1))") from None
    if len(dict(found)) != len(found):
        raise _fault("AutoDL-Projects", text, "a node has two inputs from one node")
    return dict(found)


def _fault(dialect: str, text: str, why: str) -> InputError:
    return InputError(f"{text!r} is no cell as {dialect} writes it: {why}")
