"""`nas govern --manifest DIR`: frames through the engine, clocks under the governor."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from nas.board.control.sysfs import Sysfs
from nas.runtime import Manifest, read_manifest
from nas.runtime.files import plain_size
from nas.runtime.live import Live
from nas.runtime.policies import Demands
from nas.start.govern import Governed, Load, check_positive, govern_frames, one_each
from search_spaces import InputError

MAX_IMAGES = 1 << 32  # bytes; mapped, not read


class Running(NamedTuple):
    """How frames come, and where the governor says what it does.

    Of `period_ms`, `images` and `n_images` one is for all models, or there is one for each.
    """

    period_ms: Sequence[float]
    images: Sequence[Path]  # none: noise
    n_images: Sequence[int]
    seconds: float
    state: Path
    port: int
    root: Path
    memory_mb: float | None = None  # of prepared networks


def govern_board(
    folders: Sequence[Path],
    demands: Sequence[Demands],
    running: Running,
    *,
    quiet: bool = False,
    fs: Sysfs | None = None,
) -> Live:
    """Run until Ctrl-C or for `seconds`; every touched file is put back. Returns what ran.

    A folder, its demands and its frames for each model.
    """
    from nas.cli.output import console

    n = len(folders)
    periods = one_each("period_ms", running.period_ms, n)
    sizes = one_each("n_images", running.n_images, n)
    images = one_each("images", running.images or [None], n)
    check_positive(period_ms=periods, n_images=sizes, memory_mb=[running.memory_mb])
    models = []
    for i, folder in enumerate(folders):
        manifest = read_manifest(str(folder))
        frames = _frames(manifest, images[i], sizes[i])
        load = Load(frames, sizes[i], periods[i], running.seconds)
        models.append(Governed(manifest, demands[i], load))
    return govern_frames(
        models,
        fs or Sysfs(str(running.root)),
        state=str(running.state),
        port=running.port,
        memory_mb=running.memory_mb,
        say=partial(console(quiet=quiet).print, markup=False, soft_wrap=True),
    )


def _frames(manifest: Manifest, path: Path | None, n_images: int) -> Iterator[np.ndarray]:
    """Frames of the file's images over and over; of noise without a file."""
    if path is None:
        first = manifest.network(manifest.ids[0])["segments"][0]
        shape = manifest.content["files"][first]["input"]
        images = np.random.default_rng(0).standard_normal((256, *shape)).astype(np.float32)
    else:
        images = manifest.normalise(_read_images(path))
    for start in itertools.count(0, n_images):
        yield images[np.arange(start, start + n_images) % len(images)]


def _read_images(path: Path) -> np.ndarray:
    try:
        plain_size(str(path), MAX_IMAGES)
        images: Any = np.load(path, allow_pickle=False, mmap_mode="r")  # its size is checked
    except Exception as fault:  # NumPy parses the header as Python: the faults are of many kinds
        reason = (str(fault).splitlines() or [type(fault).__name__])[0]
        raise InputError(f"cannot read images from {path}: {reason[:200]}") from None
    if not isinstance(images, np.ndarray):
        raise InputError(f"{path} holds several arrays, expected one: an .npy file")
    if images.ndim != 4 or images.dtype != np.uint8 or not len(images):
        raise InputError(
            f"{path} holds {images.dtype} {images.shape}; expected uint8 images (N, C, H, W)"
        )
    return np.asarray(images)
