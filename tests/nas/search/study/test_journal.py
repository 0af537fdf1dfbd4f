"""Journals that were killed, edited, damaged, or are no journals."""

import json

import numpy as np
import pytest
from optuna.samplers import RandomSampler

from nas.samplers.domain import SpaceDomain
from nas.search.study.journal import repair
from nas.search.study.open import open_study
from nas.search.study.record import add_finished
from search_spaces import InputError
from tests.nas.search.study.test_generations import SPACE

N_TRIALS = 3
DOMAIN = SpaceDomain(SPACE)


def opened(journal, *, shared=False):
    storage = str(journal) if shared else None
    parameters = DOMAIN.distributions
    return open_study(storage, journal, RandomSampler(), search={"seed": 0}, parameters=parameters)


@pytest.fixture
def journal(tmp_path):
    """A study with finished trials."""
    study = opened(tmp_path / "study.journal")
    params = DOMAIN.params(SPACE.sample_spread(N_TRIALS, np.random.default_rng(0)))
    values = np.arange(3.0 * N_TRIALS).reshape(N_TRIALS, 3)
    add_finished(study, DOMAIN.distributions, params, values, np.zeros(N_TRIALS))
    return tmp_path / "study.journal"


def test_a_torn_last_line_and_dead_locks_go(tmp_path):
    journal = tmp_path / "study.journal"
    journal.write_bytes(b'{"a": 1}\n{"b": 2}\n{"c"')
    (tmp_path / "study.journal.lock").write_text("")
    repair(journal)
    assert journal.read_bytes() == b'{"a": 1}\n{"b": 2}\n'
    assert not (tmp_path / "study.journal.lock").exists()


def test_a_whole_journal_is_not_touched(journal):
    before = journal.read_bytes(), journal.stat().st_mtime_ns
    repair(journal)
    assert (journal.read_bytes(), journal.stat().st_mtime_ns) == before


@pytest.mark.parametrize("shared", [False, True])
def test_blank_lines_lose_nothing_and_stop_nothing(journal, shared):
    """As NFS leaves them (optuna 5138); another process may have read the file, so it stays."""
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"\n" + b"\n  \n".join(lines) + b"\n\n")
    before = journal.read_bytes()
    study = opened(journal, shared=shared)
    assert [t.values[0] for t in study.trials] == [0, 3, 6]
    study.set_user_attr("more", 1)
    assert journal.read_bytes().startswith(before)
    assert opened(journal, shared=shared).user_attrs["more"] == 1


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize(
    "line",
    [b"garbage\n", b"[]\n", b"{}\n", b"[" * 100_000 + b"\n", b'{"op_code":99}\n', b"\xff\xfe\n"],
)
def test_a_damaged_line_is_named_and_nothing_is_written(journal, line, shared):
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join([*lines[:2], line, *lines[2:]]))
    before = journal.read_bytes()
    hint = "mend the line or give another `storage`" if shared else "start again with `overwrite"
    with pytest.raises(InputError, match=f"damaged at line 3, .*; {hint}"):
        opened(journal, shared=shared)
    assert journal.read_bytes() == before


def test_a_record_without_one_of_its_keys_is_named_or_means_the_same(journal):
    lines = journal.read_text().splitlines()
    number = next(i for i, line in enumerate(lines) if '"distributions"' in line)
    record = json.loads(lines[number])
    refused = []
    for key in record:
        rest = {k: v for k, v in record.items() if k != key}
        journal.write_text(
            "\n".join([*lines[:number], json.dumps(rest), *lines[number + 1 :]]) + "\n"
        )
        try:
            study = opened(journal, shared=True)
        except InputError as error:
            refused.append(str(error))
        else:
            assert len(study.trials) == N_TRIALS
    assert len(refused) >= 6
    assert not any("\n" in said for said in refused)


def test_a_flipped_bit_is_one_line_or_read(journal):
    """Never a traceback, nor a trial that does not fit; JSON has no checksum to find all."""
    whole, rng = journal.read_bytes(), np.random.default_rng(0)
    refused = []
    for place in rng.integers(8 * len(whole), size=300):
        flipped = bytearray(whole)
        flipped[place // 8] ^= 1 << (place % 8)
        journal.write_bytes(flipped)
        try:
            trials = opened(journal, shared=True).get_trials()
        except InputError as error:
            refused.append(str(error))
        else:
            assert DOMAIN.genes([t for t in trials if t.state.is_finished()]).shape[1:] == (
                len(SPACE.choices),
            )
    assert len(refused) > 150
    assert not any("\n" in said for said in refused)


@pytest.mark.parametrize("content", [b"notes of mine", b"notes\nof mine\n", b"{'a': 1}\n"])
def test_a_file_of_somebody_else_is_refused_and_kept(tmp_path, content):
    file = tmp_path / "notes.log"
    file.write_bytes(content)
    with pytest.raises(InputError, match="damaged at line 1, or is no journal of an Optuna study"):
        opened(file, shared=True)
    assert file.read_bytes() == content
