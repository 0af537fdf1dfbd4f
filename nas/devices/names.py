"""Names of devices, backends and modes: which one was meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

NAME = r"[a-z0-9][a-z0-9-]{0,63}"  # of a device


def nearest(name: object, known: Iterable[str], n: int = 1) -> list[str]:
    """Up to `n` of the `known` names that look like `name`, in any case of letters."""
    by_lower = {k.lower(): k for k in known}
    near = difflib.get_close_matches(str(name).lower(), by_lower, n=n, cutoff=0.5)
    return [by_lower[k] for k in near]


def meant(name: object, known: Iterable[str]) -> str:
    """The end of a message: which of the `known` names is like `name`; empty where none is."""
    return "".join(f"; did you mean {near}?" for near in nearest(name, known))
