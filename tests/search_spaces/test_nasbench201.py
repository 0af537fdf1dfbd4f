"""NAS-Bench-201: its published sizes, its strings, the live part of its cells."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from search_spaces import (
    InputError,
    NASBench201Space,
    encode,
    feature_blocks,
    feature_names,
    get_space,
)
from search_spaces.dialects201 import NASLIB, NASLIB_EDGES, NNI
from search_spaces.nasbench201 import EDGES, OPERATIONS


def test_the_benchmarks_own_strings_are_read() -> None:
    space = get_space("nasbench201")
    text = "|nor_conv_3x3~0|+|none~0|avg_pool_3x3~1|+|skip_connect~0|nor_conv_1x1~1|nor_conv_3x3~2|"
    assert str(space.parse(text)) == "o3.0.4.1.2.3"
    with pytest.raises(InputError, match="found 'max_pool"):
        space.parse(text.replace("avg_pool", "max_pool"))


def n_norm_params(space: NASBench201Space, n_edges: int) -> int:
    """Batch-norm scales and shifts, and the classifier's bias, which operators do not count."""
    cells = sum(2 * 5 * n_edges * width for width in (16, 32, 64))
    reductions = sum(2 * 2 * width for width in (32, 64))
    return 2 * 16 + cells + reductions + 2 * 64 + space.n_classes


@pytest.mark.parametrize(
    ("operation", "n_params", "mflops"), [(3, 1_531_546, 220.11969), (0, 73_306, 7.78305)]
)
def test_nasbench201_cells_have_their_published_size(
    operation: int, n_params: int, mflops: float
) -> None:
    """The benchmark's own figures for CIFAR-10, its largest and its smallest cell.

    Its FLOPs are multiply-accumulates and count the classifier's ten biases.
    """
    space = NASBench201Space()
    operators = space.operators(np.full((1, 6), operation), np.ones((1, 1), dtype=bool))
    n_edges = 6 if operation == 3 else 0
    assert operators.params.sum() + n_norm_params(space, n_edges) == n_params
    assert (operators.macs.sum() + space.n_classes) / 1e6 == pytest.approx(mflops, abs=1e-8)


def test_nasbench201_details_know_which_edges_are_alive() -> None:
    """Against every path from the input to the output, walked one by one."""
    space = NASBench201Space()
    genes = space.enumerate()[::7]
    names, X = feature_names(space), encode(space, genes, np.ones((1, 1), dtype=bool))
    column = dict(zip(names, X.T, strict=True))
    paths = [(3,), (0, 4), (1, 5), (0, 2, 5)]  # edges in the order of EDGES
    costs = {0: -np.inf, 1: 0, 2: 1, 3: 1, 4: 1}
    for i, cell in enumerate(genes.tolist()):
        alive = {e for path in paths if all(cell[e] for e in path) for e in path}
        assert column["path:edges"][i] == len(alive)
        assert column["n_written:nor_conv_3x3"][i] == cell.count(3)
        assert column["n_live:nor_conv_3x3"][i] == sum(cell[e] == 3 for e in alive)
        assert column["live:avg_pool_3x3_1_2"][i] == (2 in alive and cell[2] == 4)
        longest = max(sum(costs[cell[e]] for e in path) for path in paths)
        assert column["path:operators"][i] == max(longest, 0)
    blocks = feature_blocks(space)
    assert list(blocks) == ["written", "n_written", "live", "n_live", "path"]
    assert all(names[i].startswith(f"{group}:") for group, block in blocks.items() for i in block)
    assert feature_blocks(get_space("resnet-digits")) == {
        "all": tuple(range(len(feature_names(get_space("resnet-digits")))))
    }


CELL = "|nor_conv_3x3~0|+|none~0|avg_pool_3x3~1|+|skip_connect~0|nor_conv_1x1~1|nor_conv_3x3~2|"


@given(data=st.data())
def test_edges_of_a_cell_are_placed_by_their_numbers(data: st.DataObject) -> None:
    """Every tool may write the inputs of a node in an order of its own."""
    space = get_space("nasbench201")
    genes = data.draw(st.lists(st.integers(0, 4), min_size=6, max_size=6))
    cell = {edge: OPERATIONS[gene] for edge, gene in zip(EDGES, genes, strict=True)}
    nodes = []
    for node in (1, 2, 3):
        inputs = data.draw(st.permutations([edge for edge in EDGES if edge[1] == node]))
        nodes.append("|" + "".join(f"{cell[edge]}~{edge[0]}|" for edge in inputs))
    wanted = str(space.subnet(genes))
    assert str(space.parse("+".join(nodes))) == wanted
    assert str(space.parse(f"Structure(4 nodes with {' + '.join(nodes)})")) == wanted
    naslib = [NASLIB.index(cell[edge]) for edge in NASLIB_EDGES]
    assert str(space.parse(str(tuple(naslib)))) == wanted
    names = {new: old for old, new in NNI.items()}
    order = data.draw(st.permutations(EDGES))
    nodes = [[(cell[a, b], a) for a, b in order if b == node] for node in (1, 2, 3)]
    assert str(space.parse(str(nodes))) == wanted
    nni = {f"{a}_{b}": names.get(cell[a, b], cell[a, b]) for a, b in order}
    assert str(space.parse(str(nni))) == wanted


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (CELL.replace("none~0", "none~1"), "node 2 has two inputs ~1"),
        (CELL.replace("none~0|", ""), "found edges 0-1, 0-3, 1-2, 1-3, 2-3; it has the edges"),
        (CELL.replace("~2", ""), r"as NAS-Bench-201 writes it: node 3 must look like"),
        (CELL.replace("~2|", "~3|"), "found edges"),
        (CELL + "+|none~0|", "found edges"),
        (CELL.replace("+", ""), "node 1 must look like"),
        ("(4, 0, 3, 1, 4)", "as NASLib writes it: it must be six numbers from 0 to 4"),
        ("(4, 0, 3, 1, 4, 5)", "as NASLib writes it"),
        ("{'0_1': 'conv_3x3'}", "found edges 0-1; it has"),
        ("{'01': 'conv_3x3'}", "as NNI writes it: an edge is written '0_1'"),
        ("[(('none', 0), ('none', 0))]", "as AutoDL-Projects writes it: a node has two inputs"),
        ("[[1]]", "as AutoDL-Projects writes it: a node is"),
        ("Genotype(normal=[('skip_connect', 0)])", "a genotype of DARTS, another search space"),
        ("{'0_1': }", "as NNI writes it: it is no dictionary"),
        ("{" * 999, "as NNI writes it"),
        ("{'0_1': 'conv_5x5'}", "found 'conv_5x5'"),
    ],
)
def test_a_cell_that_is_none_is_named_with_its_dialect(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        get_space("nasbench201").parse(text)
    assert "\n" not in str(caught.value)
