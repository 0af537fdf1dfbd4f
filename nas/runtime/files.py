"""Files that somebody else may have filled, looked at first; files that are whole or absent."""

from __future__ import annotations

import contextlib
import os
import threading


def plain_size(path: str, limit: int) -> int:
    """Bytes of a plain file; ValueError for a folder, a pipe, or one of over `limit` bytes.

    OSError: there is none.
    """
    size = os.stat(path).st_size
    if not os.path.isfile(path):
        raise ValueError("it is no file but a folder, a pipe or a device")
    if size > limit:
        raise ValueError(f"it has {size} bytes, over {limit >> 20} MiB")
    return size


def write_whole(path: str, data: bytes) -> None:
    """Replace the content of `path`: who reads it, or a kill, finds the old or the new."""
    aside = f"{path}.{os.getpid()}.{threading.get_ident()}.tmp"  # a writer's own
    try:
        with open(aside, "wb") as file:
            file.write(data)
        os.replace(aside, path)
    except BaseException:  # a full disk, or Ctrl-C
        with contextlib.suppress(OSError):
            os.remove(aside)
        raise
