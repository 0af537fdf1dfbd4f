"""Programs as arrays: what is shared is what would be counted anew."""

import numpy as np
import pandas as pd

from nas.transfer.programs import Programs
from search_spaces import encode, get_space

SPACE = get_space("resnet-digits")
GENES = SPACE.sample(4, np.random.default_rng(0))
HEADS = np.tril(np.ones((SPACE.n_exits + 1, SPACE.n_exits + 1), dtype=bool))


def test_every_program_of_every_subnet():
    programs = Programs.of_each(SPACE, GENES, HEADS)
    assert len(programs) == len(GENES) * len(HEADS)
    for i in range(len(programs)):
        subnet, asked = divmod(i, len(HEADS))
        np.testing.assert_array_equal(programs.genes[i], GENES[subnet])
        np.testing.assert_array_equal(programs.heads[i], HEADS[asked])


def test_features_and_kernels_are_those_of_the_operators():
    programs = Programs.of_each(SPACE, GENES, HEADS)
    np.testing.assert_array_equal(programs.features, encode(SPACE, programs.genes, programs.heads))
    np.testing.assert_array_equal(programs.kernels, (programs.operators.c_out > 0).sum(axis=1))
    deeper = programs.kernels.reshape(len(GENES), len(HEADS))
    assert (np.diff(deeper, axis=1) > 0).all()


def test_operators_are_counted_once(monkeypatch):
    calls = []
    count = type(SPACE).operators
    monkeypatch.setattr(
        type(SPACE), "operators", lambda *given: calls.append(given) or count(*given)
    )
    programs = Programs.of_each(SPACE, GENES, HEADS)
    assert not calls
    assert len(programs.kernels) == len(programs.features) == len(programs.operators.macs)
    assert len(calls) == 1


def test_programs_of_rows():
    rows = pd.DataFrame({"subnet": list(map(str, SPACE.subnets(GENES))), "heads": "0+2"})
    programs = Programs.of_rows(rows, SPACE)
    np.testing.assert_array_equal(programs.genes, GENES)
    assert programs.heads.tolist() == [[True, False, True, False]] * 4
