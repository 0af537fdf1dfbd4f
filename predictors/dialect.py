"""CSV as other people's programs write it: encodings, separators, decimal commas, remarks.

What is certain is read; what could mean two things is left as it is, and refused by line and column
where a number is expected.
"""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

from search_spaces import InputError, as_meant, read_bytes

MAX_BYTES = 1 << 26  # of a table: its cells take ten times as much memory
SEPARATORS = ",;\t|"
FOREIGN = {  # how a file begins that is no text
    b"PK\x03\x04": "a zip archive or an Excel workbook: save the sheet as CSV",
    b"\xd0\xcf\x11\xe0": "an Excel workbook: save the sheet as CSV",
    b"\x1f\x8b": "compressed by gzip: unpack it",
    b"BZh": "compressed by bzip2: unpack it",
    b"\xfd7zXZ": "compressed by xz: unpack it",
    b"(\xb5/\xfd": "compressed by zstd: unpack it",
    b"PAR1": "Parquet: name it .parquet",
    b"\x89HDF": "an HDF5 file: write its table as CSV",
    b"\x93NUMPY": "an array of NumPy: write it as CSV",
    b"SQLite format 3": "an SQLite database: write its table as CSV",
    b"%PDF": "a PDF",
    b"version https://git-lfs": "a pointer of Git LFS: fetch the file itself (`git lfs pull`)",
}
ENCODINGS = {
    **{b"\xff\xfe\0\0": "utf-32", b"\0\0\xfe\xff": "utf-32"},
    **{b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"},
}
END_OF_TEXT = "\x1a"  # Ctrl-Z, which old programs of Windows write
NUMBER = re.compile(r"[+-]?\d+,(\d+)([eE][+-]?\d+)?")  # with a decimal comma, or with a thousands'
EXCEL_TEXT = re.compile(r'^="([^"]*)"$')  # a text that Excel shall not take for a date
EXCEL_SAYS = re.compile(r"(?i)sep=([,;|\t])")  # a first line that tells Excel the separator


class TableError(InputError):
    """A table cannot be used; the message names the file, the line, the column and the value."""


def csv_rows(path: Path) -> dict[int, list[str]]:
    """Cells of the header and of every row, by the number of their last line.

    Blank lines, lines of separators alone, remarks (`#`), a repeated header and columns without
    name and content are left out; decimal commas become points where they are certain.
    """
    text = _text(path)
    separator = _separator(path, text)
    # The csv module knows the line of every row, also behind blank lines and quoted line breaks.
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    rows: dict[int, list[str]] = {}
    header = None
    try:
        for row in reader:
            cells = [as_meant(EXCEL_TEXT.sub(r"\1", cell.strip())) for cell in row]
            if _is_remark(row) or not any(cells) or cells == header:
                continue
            header = header or cells
            rows[reader.line_num] = cells
    except csv.Error as error:
        raise TableError(f"{path} line {reader.line_num} is no CSV text: {error}") from None
    rows = _without_empty_columns(rows)
    return _decimal_points(rows) if _has_decimal_commas(rows, separator) else rows


def _text(path: Path) -> str:
    try:
        data = read_bytes(path, limit=MAX_BYTES)
    except OSError as error:
        raise TableError(f"cannot read {path}: {error.strerror}") from None
    for start, what in FOREIGN.items():
        if data.startswith(start):
            raise TableError(f"{path} is {what}")
    encoding = next((name for mark, name in ENCODINGS.items() if data.startswith(mark)), "utf-8")
    if encoding == "utf-8" and b"\0" in data:
        encoding = _without_mark(data)
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        found = f"byte {data[error.start]:#04x}"
        raise TableError(
            f"{path} line {line} is no CSV text in UTF-8: {found}; save it as `CSV UTF-8`"
        ) from None
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise TableError(f"{path} line {line} is no CSV text: a zero byte; save it as `CSV UTF-8`")
    if text.lstrip()[:1] in ("{", "[", "<"):
        raise TableError(f"{path} is JSON, HTML or XML; write the table as CSV")
    return text.rstrip(END_OF_TEXT)


def _without_mark(data: bytes) -> str:
    """The encoding of text with zero bytes: UTF-16 where every second byte is one."""
    for start, name in ((1, "utf-16-le"), (0, "utf-16-be")):
        if len(data) % 2 == 0 and not any(data[start::2]) and all(data[1 - start :: 2]):
            return name
    return "utf-8"


def _is_remark(row: list[str]) -> bool:
    excels = row[:1] and row[0].lower().startswith("sep=") and not any(row[1:])
    return bool(excels or (row and row[0].startswith("#")))


def _separator(path: Path, text: str) -> str:
    """What splits the header into most names; TableError where two split it into as many."""
    lines = [(n, line) for n, line in enumerate(text.splitlines(), start=1) if line.strip()]
    if lines and (told := EXCEL_SAYS.match(lines[0][1])):
        return told[1]
    number, header = next(((n, line) for n, line in lines if line[0] != "#"), (0, ""))
    counts = {mark: header.count(mark) for mark in SEPARATORS}
    best = max(counts.values())
    found = [mark for mark, count in counts.items() if count == best]
    if best and len(found) > 1:
        marks = " and ".join(map(repr, found))
        raise TableError(f"{path} line {number}: {marks} may separate columns; use commas alone")
    return found[0]


def _without_empty_columns(rows: dict[int, list[str]]) -> dict[int, list[str]]:
    """Rows without the columns that a spreadsheet appends: no name, and no cell with content."""
    if not rows:
        return rows
    header, *body = rows.values()
    named = len(header)
    while named and not header[named - 1]:
        named -= 1
    if any(any(row[named:]) for row in body):
        return rows
    return {line: row[: max(named, 1)] for line, row in rows.items()}


def _has_decimal_commas(rows: dict[int, list[str]], separator: str) -> bool:
    """Whether commas in numbers are certain to be decimal ones.

    They are in every table of semicolons, which are there because of them, and elsewhere where one
    number could not be grouped by thousands.
    """
    if separator == ",":
        return False
    commas = [(c, m[1]) for row in rows.values() for c in row if (m := NUMBER.fullmatch(c))]
    certain = separator == ";" or any(len(d) != 3 or c.lstrip("+-")[0] == "0" for c, d in commas)
    return bool(commas) and certain


def _decimal_points(rows: dict[int, list[str]]) -> dict[int, list[str]]:
    return {
        line: [c.replace(",", ".") if NUMBER.fullmatch(c) else c for c in row]
        for line, row in rows.items()
    }
