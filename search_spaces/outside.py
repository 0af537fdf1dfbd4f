"""Text and JSON of files that others wrote: size, encoding and nesting are checked, then content.

A byte-order mark, as Excel and Notepad write it, is no part of a text.
"""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

from search_spaces.errors import InputError

FORMULA = ("=", "+", "-", "@", "\t", "\r")  # how a cell begins that a spreadsheet would run
MAX_BYTES = 1 << 28  # of a file that is read line by line
MAX_JSON = 1 << 25  # parsed at once, into 20 times as much memory; the largest results have a tenth
MAX_TENSORS = 1 << 33  # of a file of tensors
MAX_HEADER = 100 << 20  # what safetensors itself takes


def read_bytes(path: Path, *, limit: int = MAX_BYTES) -> bytes:
    """The content of a plain file of at most `limit` bytes, InputError for another; OSError.

    A pipe or a device is read where the user names one (`/dev/stdin`), and never waited for
    elsewhere: a named pipe in a folder of somebody else may have no writer.
    """
    found = path.stat()
    named = path.is_relative_to("/dev")
    if not stat.S_ISREG(found.st_mode) and not (named and not stat.S_ISDIR(found.st_mode)):
        kind = "a folder" if stat.S_ISDIR(found.st_mode) else "a pipe or a device"
        raise InputError(f"{path} is {kind}, expected a file")
    size, data = found.st_size, b""
    if size <= limit:
        with path.open("rb") as file:
            while len(data) <= limit and (more := file.read(max(size + 1, 1 << 16))):
                data = data + more if data else more
    if max(len(data), size) > limit:
        raise InputError(f"{path} is larger than {limit >> 20} MiB, which no such file is")
    return data


def read_tensor_header(path: Path) -> dict[str, Any]:
    """The header of a safetensors file, where it accounts for the file's size.

    InputError for another; OSError.
    """
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        length = int.from_bytes(file.read(8), "little")
        fits = size >= 8 and 0 < length <= min(size - 8, MAX_HEADER)
        try:
            header = json_object(file.read(length), "its header") if fits else {}
        except InputError as error:
            raise InputError(f"{path} is no readable safetensors file: {error}") from None
    ends = [v.get("data_offsets") for v in header.values() if isinstance(v, dict)]
    last = [e[1] for e in ends if isinstance(e, list) and len(e) == 2 and type(e[1]) is int]
    if not fits or size != 8 + length + max(last, default=0):
        raise InputError(
            f"{path} is no readable safetensors file: its header does not account for its size"
        )
    return header


def read_tensor_file(path: Path) -> bytes:
    """A safetensors file whose header accounts for its size, before the tensors are read.

    InputError for another; OSError.
    """
    if path.is_file():
        read_tensor_header(path)
    return read_bytes(path, limit=MAX_TENSORS)


def read_text(path: Path, *, limit: int = MAX_BYTES) -> str:
    """The text of a file in UTF-8; InputError says why there is none."""
    try:
        data = read_bytes(path, limit=limit)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from None
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


def read_json(path: Path) -> Any:
    """The value of a JSON file; InputError for anything else."""
    return parse_json(read_text(path, limit=MAX_JSON), path)


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
