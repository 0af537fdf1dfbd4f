"""Programs as graphs: which operator reads what another one wrote.

Nodes are the present operators in their order, edges the tensors between them: along the trunk,
around a block (the addition counts as part of the convolution that adds), into and out of
squeeze-excite, between the nodes of a NAS-Bench-201 cell, from the trunk into a head.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from search_spaces.arrays import Bools, Ints
from search_spaces.operators import Operators


@dataclass(frozen=True)
class ProgramGraph:
    """An acyclic graph: every edge points from an earlier node to a later one.

    A node without incoming edges reads the image (the stem), one without outgoing edges writes the
    logits of an exit (the last linear layer of its head). In NAS-Bench-201, edges of a cell through
    which nothing flows end or begin at further such nodes.
    """

    slots: Ints  # (nodes,) the slot of every node in the `Operators` it was made of
    edges: Ints  # (edges, 2) positions in `slots`: written by, read by


def adjacency(operators: Operators) -> Bools:
    """`(n, slots, slots)`: entry [i, a, b] where operator b of program i reads what a wrote.

    What an absent slot would have read is read in its place, or nothing where it does not pass.
    """
    n, n_slots = operators.present.shape
    reads = np.zeros((n, n_slots, n_slots), dtype=bool)
    writes = np.zeros_like(reads)  # [i, b, a]: what leaves slot b was written by a
    for b, inputs in enumerate(operators.inputs):
        read = writes[:, list(inputs)].any(axis=1)
        present = operators.present[:, b]
        reads[:, :, b] = read & present[:, None]
        writes[:, b] = read & (~present & operators.passes[:, b])[:, None]
        writes[:, b, b] = present
    return reads


def program_graphs(operators: Operators) -> list[ProgramGraph]:
    """The graph of every program; memory grows with the square of the slots, so give some 1,000."""
    graphs = []
    for present, reads in zip(operators.present, adjacency(operators), strict=True):
        slots = np.flatnonzero(present)
        graphs.append(ProgramGraph(slots, np.argwhere(reads[np.ix_(slots, slots)])))
    return graphs
