"""Accuracy tables: error and exit rates of evaluated subnets under every exit policy."""

from __future__ import annotations

import hashlib
import json
import warnings
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load

from predictors.accuracy.plausible import NAME_IT, check_errors
from predictors.cells import LacksError, canonical_subnets, numbers, read_cells
from predictors.dialect import TableError
from predictors.units import in_our_units
from search_spaces import (
    Bools,
    Floats,
    Genes,
    InputError,
    Ints,
    PolicyGrid,
    Space,
    json_object,
    read_tensor_file,
)

SCHEMA = "nas.accuracy/1"
SUM_TOLERANCE = 0.01  # rates are stored in half precision


@dataclass(frozen=True)
class AccuracyTable:
    """`n` evaluated subnets, `P` policies, `E` early exits; row i belongs to subnet i."""

    genes: Genes  # (n, genes), canonical
    grid: PolicyGrid
    top1_error_pct: Floats  # (n, P)
    exit_rate: Floats  # (n, P, E + 1), sums to 1
    split: str | None = None
    n_images: int | None = None
    supernet_sha256: str | None = None
    temperatures: tuple[float, ...] = ()
    source: str = "measured"
    sha256: str | None = None  # of the file

    def __len__(self) -> int:
        return len(self.genes)

    def __getitem__(self, rows: Ints | Bools) -> AccuracyTable:
        """The table of some rows, given by their numbers or a mask."""
        return replace(
            self,
            genes=self.genes[rows],
            top1_error_pct=self.top1_error_pct[rows],
            exit_rate=self.exit_rate[rows],
        )

    @cached_property
    def row_of(self) -> dict[bytes, int]:
        """Row by the bytes of its genes."""
        return {row.tobytes(): i for i, row in enumerate(self.genes)}

    @property
    def digest(self) -> str:
        """Checksum of what the table says of which subnets."""
        found = hashlib.sha256(repr((self.grid.n_exits, self.grid.thresholds)).encode())
        for array in (self.genes, self.top1_error_pct, self.exit_rate):
            found.update(np.ascontiguousarray(array, dtype=float).tobytes())
        return found.hexdigest()

    def rows(self, genes: Genes) -> Ints:
        """The row of each canonical subnet `(n, genes)`, or -1 where it was not evaluated."""
        genes = np.ascontiguousarray(genes, dtype=np.int64)
        return np.array([self.row_of.get(row.tobytes(), -1) for row in genes], dtype=np.int64)


def read_accuracy_table(path: Path | str, space: Space) -> AccuracyTable:
    """The table of a `nas.accuracy/1` file, or of a CSV where `space` has no early exits.

    TableError: absent, truncated, of another schema or space, or with values out of range.
    """
    path = Path(path)
    if path.suffix == ".safetensors":
        return _read_safetensors(path, space)
    if space.n_exits:
        raise TableError(
            f"{path}: {space.name} has early exits, so its table must be a .safetensors file; "
            "evaluate the supernet to get one"
        )
    return _read_text(path, space)


def _read_safetensors(path: Path, space: Space) -> AccuracyTable:
    data = _data(path)
    arrays, described = _open(path, data)
    try:
        grid = PolicyGrid(int(described["n_exits"]), tuple(described["thresholds"]))
        error, rate = arrays["top1_error_pct"], arrays["exit_rate"].astype(np.float32)
        genes = space.parse_all(described["subnets"])
        about = {
            "split": described["split"],
            "n_images": int(described["n_images"]),
            "supernet_sha256": described["supernet_sha256"],
            "temperatures": tuple(map(float, described["temperatures"])),
            "source": described["source"],
        }
    except KeyError as missing:
        raise TableError(f"{path} lacks {missing}; evaluate the supernet again") from None
    except (InputError, TypeError, ValueError) as fault:
        raise TableError(f"{path} does not fit {space.name}: {fault}") from None
    if described.get("space", space.name) != space.name or grid.n_exits != space.n_exits:
        raise TableError(
            f"{path} is a table of {described.get('space', 'another space')} with "
            f"{grid.n_exits} early exits; {space.name} has {space.n_exits}"
        )
    if len(np.unique(genes, axis=0)) < len(genes):
        raise TableError(f"{path} holds a subnet twice; evaluate the supernet again")
    _check_values(path, error, rate, (len(genes), len(grid)), grid)
    rate = rate / rate.sum(axis=2, keepdims=True)
    sha256 = hashlib.sha256(data).hexdigest()
    return AccuracyTable(genes, grid, error.astype(np.float32), rate, sha256=sha256, **about)


def _data(path: Path) -> bytes:
    try:
        return read_tensor_file(path)
    except FileNotFoundError:
        raise TableError(f"{path} does not exist") from None
    except InputError as error:
        raise TableError(str(error)) from None
    except OSError as error:
        raise TableError(f"cannot read {path}: {error.strerror or error}") from None


def _open(path: Path, data: bytes) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Arrays and description; their checksum is written by `supernets.checkpoint`."""
    try:
        arrays = load(data)
        start = 8 + int.from_bytes(data[:8], "little")
        header = json_object(data[8:start], f"the header of {path}")
        described = json_object(header.get("__metadata__", {}).get("json", "{}"), path)
    except (SafetensorError, InputError, ValueError, TypeError, AttributeError) as error:
        raise TableError(f"{path} is no readable safetensors file: {error}") from None
    digest = described.pop("content_sha256", None)
    found = hashlib.sha256(json.dumps(described).encode() + data[start:]).hexdigest()
    if digest is None:
        warnings.warn(
            f"{path} has no checksum, so damage would not be seen; `nas supernet evaluate` writes "
            "one",
            stacklevel=2,
        )
    elif digest != found:
        raise TableError(
            f"{path} is damaged: its content does not have the checksum that was written with it; "
            "fetch it again, or evaluate the supernet again"
        )
    schema = described.get("schema")
    if schema != SCHEMA:
        raise TableError(f"{path} has schema {schema!r}, expected {SCHEMA!r}")
    return arrays, described


def _check_values(
    path: Path, error: NDArray[Any], rate: NDArray[Any], shape: tuple[int, int], grid: PolicyGrid
) -> None:
    wanted = {"top1_error_pct": shape, "exit_rate": (*shape, grid.n_exits + 1)}
    for name, array in (("top1_error_pct", error), ("exit_rate", rate)):
        if array.shape != wanted[name] or not len(array):
            raise TableError(f"{path}: {name} has shape {array.shape}, expected {wanted[name]}")
    if not ((error >= 0) & (error <= 100)).all():  # NaN compares false
        raise TableError(f"{path}: top1_error_pct holds values outside 0..100")
    if not (rate >= 0).all() or (np.abs(rate.sum(axis=2) - 1) > SUM_TOLERANCE).any():
        raise TableError(f"{path}: exit_rate holds rows that are negative or do not sum to 1")


def _read_text(path: Path, space: Space) -> AccuracyTable:
    """A CSV or Parquet table `subnet, top1_error_pct[, source]` of a space without exits."""
    try:
        cells = read_cells(path, ("subnet", "top1_error_pct"), in_our_units)
    except LacksError as lacks:
        raise TableError(f"{lacks}; {NAME_IT}") from None
    subnets = canonical_subnets(cells, space, path)
    errors = numbers(cells, "top1_error_pct", path, positive=False, required=True)
    first: dict[str, int] = {}
    for line, subnet, error in zip(cells.index, subnets, errors, strict=True):
        if error > 100:
            raise TableError(f"{path} line {line}: top1_error_pct must be at most 100, got {error}")
        seen = first.setdefault(subnet, line)
        if errors[seen] != error:
            raise TableError(
                f"{path} line {line}: top1_error_pct of {subnet} is {error:g}, "
                f"but {errors[seen]:g} on line {seen}"
            )
    kept = list(first.values())
    check_errors(path, errors[kept], space, list(first))
    sources = cells["source"].unique().tolist() if "source" in cells else ["measured"]
    if len(sources) > 1:
        raise TableError(f"{path}: source must be one word for all rows, found {sources}")
    return AccuracyTable(
        genes=space.parse_all(list(first)),
        grid=PolicyGrid(0),
        top1_error_pct=errors[kept].to_numpy(np.float32)[:, None],
        exit_rate=np.ones((len(kept), 1, 1), dtype=np.float32),
        source=sources[0] or "measured",
        temperatures=(1.0,),  # of the only classifier, whose confidence nobody asks
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
    )
