"""NAS-Bench-201: a cell of six edges with five operators each, 15,625 networks for 32x32 images.

Dong and Yang, 2020 (arXiv:2001.00326). It has no early exits and no supernet here: accuracies come
as a table, which makes it the space for exhaustive truth.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from search_spaces.arrays import Bools, Floats, Genes, Ints
from search_spaces.dialects201 import read_cell
from search_spaces.errors import InputError
from search_spaces.operators import ALWAYS, Map, OperatorBuilder, Operators
from search_spaces.space import GeneGroup, Space
from search_spaces.subnet import Subnet

OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
EDGES = ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))  # source and target node, in string order
NONE, SKIP, CONV1, CONV3, POOL = range(len(OPERATIONS))
WIDTHS, SIDES, N_CELLS = (16, 32, 64), (32, 16, 8), 5


@dataclass(frozen=True)
class NASBench201Space(Space):
    """Genes `op0..op5` index OPERATIONS, in the order of the benchmark's architecture strings."""

    name: str = "nasbench201"
    n_classes: int = 10

    @property
    def groups(self) -> tuple[GeneGroup, ...]:  # type: ignore[override]
        return (GeneGroup("o", "op", (tuple(range(len(OPERATIONS))),) * len(EDGES)),)

    @property
    def largest(self) -> Genes:
        """Every edge a 3x3 convolution."""
        return np.full((1, len(EDGES)), OPERATIONS.index("nor_conv_3x3"), dtype=np.int64)

    @property
    def smallest(self) -> Genes:
        """One skip connection from input to output, nothing else."""
        genes = np.zeros((1, len(EDGES)), dtype=np.int64)
        genes[0, EDGES.index((0, 3))] = OPERATIONS.index("skip_connect")
        return genes

    def parse(self, text: str) -> Subnet:
        """Our string `o3.3.1.3.0.4`, the benchmark's `|nor_conv_3x3~0|+|...`, NASLib's or NNI's."""
        cell = read_cell(text)
        if cell is None:
            return super().parse(text)
        unknown = [name for name in cell.values() if name not in OPERATIONS]
        if unknown or set(cell) != set(EDGES):
            edges = ", ".join(f"{a}-{b}" for a, b in sorted(cell))
            found = repr(unknown[0]) if unknown else f"edges {edges or 'none'}"
            raise InputError(
                f"{text!r} is no NAS-Bench-201 cell: found {found}; it has the edges "
                f"{', '.join(f'{a}-{b}' for a, b in EDGES)} with one of {', '.join(OPERATIONS)}"
            )
        return self.subnet([OPERATIONS.index(cell[edge]) for edge in EDGES])

    def input_shape(self, subnet: Subnet) -> tuple[int, int, int]:
        return 3, 32, 32

    def details(self, genes: Genes) -> dict[str, Floats]:
        """Operators edge by edge and counted, in the cell as written and in its live part; paths.

        A framework that runs a graph as written also runs edges that lead nowhere; a compiler drops
        them. The weight of a pool on a path is the usual cost of one against a 1x1 convolution.
        """
        live = _live(genes)
        columns = {}
        for group, cells in (("written", genes), ("live", live)):
            for code in range(1, len(OPERATIONS)):
                for e, (source, node) in enumerate(EDGES):
                    columns[f"{group}:{OPERATIONS[code]}_{source}_{node}"] = cells[:, e] == code
                columns[f"n_{group}:{OPERATIONS[code]}"] = (cells == code).sum(axis=1)
        columns["path:operators"] = _longest(live, {CONV1: 1, CONV3: 1, POOL: 1})
        columns["path:work"] = _longest(live, {CONV1: 1, CONV3: 9, POOL: 0.3})
        columns["path:nodes"] = _longest(live, {SKIP: 1, CONV1: 1, CONV3: 1, POOL: 1})
        columns["path:edges"] = (live != NONE).sum(axis=1)
        return {name: np.asarray(column, dtype=float) for name, column in columns.items()}

    def operators(self, genes: Genes, heads: Bools) -> Operators:
        """Stem, 15 cells, two residual reductions, classifier; an edge is a conv or a pool slot."""
        del heads  # one program only
        net = OperatorBuilder(3, 32)
        kernels = np.select([genes == CONV1, genes == CONV3], [1, 3], 0)
        x = net.conv(net.image, WIDTHS[0], 3)
        for stage, (width, side) in enumerate(zip(WIDTHS, SIDES, strict=True)):
            if stage:
                shortcut = net.conv(net.pool(x, 2, side), width, 1)
                x = net.conv(net.conv(x, width, 3, 2), width, 3, add=shortcut)
            for _ in range(N_CELLS):
                x = _add_cell(net, x, genes, kernels)
        net.linear(net.mean(x), self.n_classes)
        return net.done()


def _add_cell(net: OperatorBuilder, x: Map, genes: Genes, kernels: Ints) -> Map:
    """A node of the cell is the sum of its incoming edges; a skipping edge passes its source on."""
    nodes = [x]
    for e, (source, node) in enumerate(EDGES):
        edge, kernel, x = genes[:, e], kernels[:, e], nodes[source]
        net.on, net.passes = kernel > 0, edge == SKIP
        conv = net.conv(x, x.channels, kernel)
        net.on, net.passes = edge == POOL, ~ALWAYS
        pool = net.pool(x, 3, x.side)
        nodes[node:] = [nodes[node] + conv + pool if node < len(nodes) else conv + pool]
    net.on = net.passes = ALWAYS
    return nodes[-1]


def _live(genes: Genes) -> Genes:
    """`genes` without the edges through which nothing flows from the input to the output."""
    edges = list(enumerate(EDGES))
    fed = np.zeros((len(genes), 4), dtype=bool)
    used = fed.copy()
    fed[:, 0] = used[:, 3] = True
    for e, (source, node) in edges:
        fed[:, node] |= fed[:, source] & (genes[:, e] != NONE)
    for e, (source, node) in reversed(edges):
        used[:, source] |= used[:, node] & (genes[:, e] != NONE)
    live = np.stack([fed[:, source] & used[:, node] for source, node in EDGES], axis=1)
    return np.where(live, genes, NONE)


def _longest(genes: Genes, weight: dict[int, float]) -> Floats:
    """Largest sum of weights on a path from the input to the output; 0 where there is none."""
    table = np.array([weight.get(code, 0) for code in range(len(OPERATIONS))], dtype=float)
    far = np.full((len(genes), 4), -np.inf)
    far[:, 0] = 0
    for e, (source, node) in enumerate(EDGES):
        step = np.where(genes[:, e] == NONE, -np.inf, far[:, source] + table[genes[:, e]])
        far[:, node] = np.maximum(far[:, node], step)
    longest: Floats = np.maximum(far[:, 3], 0)
    return longest
