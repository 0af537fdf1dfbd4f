"""The file of rows on a board: whole lines alone, whatever was killed."""

from __future__ import annotations

from pathlib import Path

from nas.board.bench.rows import Rows

FIRST, SECOND = {"row": {"id": "a"}}, {"row": {"id": "b"}}


def test_rows_are_read_along_while_they_are_written(tmp_path: Path) -> None:
    path = str(tmp_path / "rows.jsonl")
    writer, reader = Rows(path), Rows(path)
    assert reader.fresh() == []
    writer.append(FIRST)
    assert reader.fresh() == [FIRST]
    writer.append(SECOND)
    assert reader.fresh() == [SECOND]
    assert reader.fresh() == []
    writer.delete()
    assert Rows(path).fresh() == []


def test_a_torn_line_is_cut_off_before_the_next(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    Rows(str(path)).append(FIRST)
    with path.open("ab") as file:
        file.write(b'{"row": {"id')
    rows = Rows(str(path))
    assert rows.fresh() == [FIRST]
    rows.append(SECOND)
    assert Rows(str(path)).fresh() == [FIRST, SECOND]
    assert rows.fresh() == []
