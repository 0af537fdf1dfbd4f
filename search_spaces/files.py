"""Files that are whole or absent: written aside, then renamed."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from pathlib import Path
from typing import Any
from uuid import uuid4


def write_bytes(path: Path | str, data: bytes) -> None:
    """Replace the content of `path`; a killed process or a power cut leaves the old or the new.

    The data go to a file of a name of its own beside `path`, so that two writers never share one;
    they are on the disk before the rename, and the rename before this returns. A link stays a link:
    the file that it leads to is replaced. What is no file (a pipe, `/dev/null`) is written into.
    """
    path = Path(path)
    if path.exists() and not path.is_file():
        path.write_bytes(data)
        return
    path = Path(os.path.realpath(path))
    aside = path.with_name(f"{path.name}.{uuid4().hex[:8]}.tmp")
    try:
        with aside.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def write_text(path: Path | str, text: str) -> None:
    """`write_bytes` for text, as UTF-8 with the line ends it has."""
    write_bytes(path, text.encode())


def json_sha256(content: Any) -> str:
    """The checksum of what a JSON file says, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _sync_folder(folder: Path) -> None:
    if os.name == "nt":  # a folder cannot be opened there
        return
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    except OSError as error:
        # a share whose folders cannot be synced
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(opened)
