"""Graphs of programs: what every space promises, and the edges of blocks that are easy to draw."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search_spaces import Space, get_space
from search_spaces.graph import ProgramGraph, program_graphs
from search_spaces.nasbench201 import _live

NAMES = ["resnet-digits", "resnet-56x56x3-4", "ofa-mobilenetv3-x1.3", "ofa-resnet50-x0.2"]
SPACES = [get_space(name) for name in NAMES]
CELLS = get_space("nasbench201")


def ends(graph: ProgramGraph) -> tuple[list[int], list[int]]:
    """Nodes without incoming and without outgoing edges."""
    nodes = range(len(graph.slots))
    return (
        [i for i in nodes if i not in graph.edges[:, 1]],
        [i for i in nodes if i not in graph.edges[:, 0]],
    )


def graph_of(space: Space, genes: np.ndarray, heads: list[int]) -> tuple[ProgramGraph, list[str]]:
    """The graph of one program, and its nodes' kinds."""
    operators = space.operators(genes, np.isin(np.arange(space.n_exits + 1), heads)[None])
    (graph,) = program_graphs(operators)
    return graph, [operators.kinds[i] for i in graph.slots]


@pytest.mark.parametrize("space", SPACES, ids=lambda space: space.name)
@settings(max_examples=15)
@given(data=st.data())
def test_a_program_is_one_graph_from_the_image_to_its_logits(
    space: Space, data: st.DataObject
) -> None:
    genes = space.sample_spread(4, np.random.default_rng(data.draw(st.integers(0, 99))))
    heads = sorted(data.draw(st.sets(st.integers(0, space.n_exits), min_size=1)))
    operators = space.operators(genes, np.isin(np.arange(space.n_exits + 1), heads)[None])
    for graph, present in zip(program_graphs(operators), operators.present, strict=True):
        np.testing.assert_array_equal(graph.slots, np.flatnonzero(present))
        assert (graph.edges[:, 0] < graph.edges[:, 1]).all()
        sources, sinks = ends(graph)
        assert sources == [0]
        assert [operators.kinds[graph.slots[i]] for i in sinks] == ["linear"] * len(heads)
        assert [operators.stages[graph.slots[i]] for i in sinks] == heads


@settings(max_examples=40)
@given(index=st.integers(0, 15_624))
def test_a_cell_has_loose_ends_only_where_nothing_flows(index: int) -> None:
    genes = CELLS.enumerate()[[index]]
    graph, kinds = graph_of(CELLS, genes, [0])
    sources, sinks = ends(graph)
    if (_live(genes) == genes).all() and genes.any():
        assert sources == [0]
        assert [kinds[i] for i in sinks] == ["linear"]
    # every convolution or pool of a cell lies between the nodes that its edge joins
    n_cells, n_edges = 15, int((genes >= 2).sum())
    assert len(kinds) == 1 + n_cells * n_edges + 2 * 4 + 2


def test_a_residual_block_is_read_twice() -> None:
    """Stem, two blocks with the identity as shortcut, mean, classifier: layers 0 to 6."""
    space = get_space("resnet-digits")
    graph, kinds = graph_of(space, space.largest, [0])
    assert kinds[:5] == ["conv"] * 5
    edges = set(map(tuple, graph.edges.tolist()))
    wanted = {(0, 1), (1, 2), (0, 2), (2, 3), (3, 4), (2, 4)}
    assert {(a, b) for a, b in edges if b < 5} == wanted


def test_a_skipped_block_is_passed_by() -> None:
    space = get_space("resnet-digits")
    genes = space.largest.copy()
    genes[0, 0] = 1  # one block instead of two in the first stage
    graph, _ = graph_of(space, space.canonical(genes), [0])
    edges = set(map(tuple, graph.edges.tolist()))
    assert {(a, b) for a, b in edges if b < 4} == {(0, 1), (1, 2), (0, 2), (2, 3)}


def test_squeeze_and_excite_scales_what_it_was_read_from() -> None:
    space = get_space("ofa-mobilenetv3")
    graph, kinds = graph_of(space, space.smallest, [0])
    scaled = kinds.index("scale")
    depthwise, mean, reduce, expand = range(scaled - 4, scaled)
    edges = set(map(tuple, graph.edges.tolist()))
    inside = {(depthwise, mean), (mean, reduce), (reduce, expand), (expand, scaled)}
    assert edges >= inside | {(depthwise, scaled), (scaled, scaled + 1)}
    assert kinds[scaled + 1] == "conv"


def test_the_edges_of_a_cell_follow_its_nodes() -> None:
    """conv 0-1, none 0-2, pool 1-2, skip 0-3, none 1-3, conv 2-3; the next cell reads two."""
    graph, kinds = graph_of(CELLS, np.array([[2, 0, 4, 1, 0, 3]]), [0])
    assert kinds[:4] == ["conv", "conv", "pool", "conv"]
    edges = set(map(tuple, graph.edges.tolist()))
    assert {(a, b) for a, b in edges if b < 5} == {(0, 1), (1, 2), (2, 3), (0, 4), (3, 4)}
