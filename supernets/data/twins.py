"""Images that are in a data set twice: to train and to judge, or in two classes.

Copies and links of single files bring them in; an error on images that were trained on is too good.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from supernets.data.dataset import SPLITS, Split


def twins(splits: Mapping[str, Split]) -> list[str]:
    """Remarks on images with the same pixels, as they are read."""
    labels: dict[bytes, set[int]] = {}
    trained: set[bytes] = set()
    held_out = 0
    for name in SPLITS:
        for image, label in zip(splits[name].images, splits[name].labels.tolist(), strict=True):
            key = hashlib.blake2b(image.numpy().tobytes(), digest_size=16).digest()
            labels.setdefault(key, set()).add(label)
            if name == "train":
                trained.add(key)
            else:
                held_out += key in trained
    found = []
    if held_out:
        found.append(
            f"{held_out} of the images to judge with {_are(held_out)} trained on too: errors will "
            "look smaller than they are"
        )
    several = sum(len(of) > 1 for of in labels.values())
    if several:
        found.append(f"{several} image{'s'[: several > 1]} {_are(several)} in more than one class")
    return found


def _are(n: int) -> str:
    return "are" if n > 1 else "is"
