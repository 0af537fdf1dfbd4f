"""Files of a folder that somebody else may have filled: what they are is looked at first."""

from __future__ import annotations

import os


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
