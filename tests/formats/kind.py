"""What a format is, and spaces that are small enough for a thousand files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from search_spaces import encode, get_space

REPO = Path(__file__).parents[2]
DIGITS = get_space("resnet-digits")
TINY = replace(DIGITS, widths=((4,), (6,), (8,), (8, 10)))
CELLS = get_space("nasbench201")
GENES = DIGITS.sample(40, np.random.default_rng(0))
FEATURES = encode(DIGITS, GENES, np.ones((1, DIGITS.n_exits + 1), dtype=bool))
DIGEST = b'"content_sha256"'


class Format(NamedTuple):
    """`file` of a folder is damaged; `make` writes the folder, `read` takes the file.

    `vouched`: while the file has these words (of its checksum), what is read is equal or refused.
    `n`: copies that are tried in the suite, by what one costs.
    """

    file: str
    make: Callable[[Path], object]
    read: Callable[[Path], Any]
    n: int = 110
    vouched: bytes | None = None


def text(content: str) -> Callable[[Path], object]:
    return lambda path: path.write_text(content)


def data(make: Callable[[], bytes]) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(make())


def rng() -> np.random.Generator:
    return np.random.default_rng(0)
