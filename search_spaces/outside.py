"""Text and JSON of files that others wrote: size, encoding and nesting are checked, then content.

A byte-order mark, as Excel and Notepad write it, is no part of a text.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from search_spaces.errors import InputError

FORMULA = ("=", "+", "-", "@", "\t", "\r")  # how a cell begins that a spreadsheet would run
MAX_BYTES = 1 << 28  # of a text file: the largest result has some ten megabytes


def read_text(path: Path, *, limit: int = MAX_BYTES) -> str:
    """The text of a file in UTF-8; InputError says why there is none."""
    try:
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from None
    if len(data) > limit:
        raise InputError(f"{path} is larger than {limit >> 20} MiB, which no such file is")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InputError(
            f"{path} line {line} is no text in UTF-8: byte {data[error.start]:#04x}"
        ) from None


def parse_json(text: str | bytes, name: object) -> Any:
    """The value of a JSON text; InputError names `name`, the line and what is wrong."""
    try:
        if isinstance(text, bytes):
            text = text.decode("utf-8-sig")
        return json.loads(text)
    except UnicodeDecodeError:
        raise InputError(f"{name} is no text in UTF-8") from None
    except json.JSONDecodeError as error:
        raise InputError(
            f"{name} is no JSON: {error.msg} at line {error.lineno} column {error.colno}"
        ) from None
    except RecursionError:
        raise InputError(f"{name} is no JSON of ours: it is nested too deep") from None
    except ValueError:
        raise InputError(f"{name} is no JSON of ours: it has a number of too many digits") from None


def read_json(path: Path, *, limit: int = MAX_BYTES) -> Any:
    """The value of a JSON file; InputError for anything else."""
    return parse_json(read_text(path, limit=limit), path)


def json_object(text: str | bytes, name: object) -> dict[str, Any]:
    """A JSON text that is an object."""
    value = parse_json(text, name)
    if not isinstance(value, dict):
        raise InputError(f"{name} holds {type(value).__name__}, expected a JSON object")
    return value


def harmless(cell: str) -> str:
    """A cell of a CSV that no spreadsheet takes for a formula: a quote goes in front of one."""
    return f"'{cell}" if cell.startswith(FORMULA) and not _is_number(cell) else cell


def as_meant(cell: str) -> str:
    """The text that `harmless` was given."""
    quoted = cell.startswith("'") and cell[1:].startswith(FORMULA)
    return cell[1:] if quoted else cell


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
