"""A journal that a killed run left behind."""

import pytest

from nas.search.study.journal import repair
from search_spaces import InputError


def test_a_torn_last_line_and_dead_locks_go(tmp_path):
    journal = tmp_path / "study.journal"
    journal.write_bytes(b'{"a": 1}\n{"b": 2}\n{"c"')
    (tmp_path / "study.journal.lock").write_text("")
    repair(journal)
    assert journal.read_bytes() == b'{"a": 1}\n{"b": 2}\n'
    assert not (tmp_path / "study.journal.lock").exists()


def test_a_whole_journal_is_not_touched_and_a_damaged_one_refused(tmp_path):
    journal = tmp_path / "study.journal"
    journal.write_bytes(b'{"a": 1}\n')
    before = journal.stat().st_mtime_ns
    repair(journal)
    assert journal.stat().st_mtime_ns == before
    journal.write_bytes(b'{"a": 1}\n[]\n{"c": 1}\n')
    with pytest.raises(InputError, match="damaged at line 2; start again with `overwrite=True`"):
        repair(journal)
