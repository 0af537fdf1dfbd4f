"""A folder of the zoo that rests on accuracies which others published, with or without weights.

entry.json      `nas.entry/1`: space, data set, whose accuracies, their licence, which weights
accuracy.csv    `subnet, top1_error_pct, source`: the published evaluations
predictor/      the same for subnets that nobody evaluated
card.md         what a person wants to know first
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from nas.files import sha256_of
from nas.pareto.provenance import PUBLISHED
from search_spaces import InputError, Space, json_object, read_text, space_from_dict, write_text

if TYPE_CHECKING:
    from predictors import AccuracyPredictor, AccuracyTable

ENTRY, TABLE, WEIGHTS = "entry.json", "accuracy.csv", "weights.safetensors"
MAX_BYTES = 1 << 20  # of entry.json


class Check(BaseModel):
    """What images said of published accuracies with the weights that are attached."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    n_subnets: int
    n_images: int
    mean_gap_pct: float  # measured error less the published or predicted one, in points
    worst_gap_pct: float


class Entry(BaseModel):
    """What `entry.json` says."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_: Literal["nas.entry/1"] = Field(default="nas.entry/1", alias="schema")
    space: dict[str, Any]
    dataset: str
    published_by: str
    license: str
    limits: str = ""  # what the table does not cover, for a person
    held_out_pct: tuple[float, float] | None = None
    """Points by which predictions were off on held-out subnets: mean, and 95 of 100 by less."""
    checkpoint: str | None = None  # the official weights that the accuracies are of
    weights_sha256: str | None = None  # of those in the folder
    verified: Check | None = None

    def described(self, table: AccuracyTable) -> str:
        """Where the accuracies come from, in one line."""
        said = [f"accuracies of {len(table):,} subnets: {PUBLISHED} by {self.published_by}"]
        if self.held_out_pct is not None:
            said.append(
                "others predicted from them, {:.2f} points off on average".format(
                    *self.held_out_pct
                )
            )
        return "; ".join([*said, *([self.limits] if self.limits else [])])

    def accuracies(self) -> str:
        """The same for a result, with how far the weights are known to have them."""
        return f"{PUBLISHED} by {self.published_by}; {self.status()}"

    def status(self) -> str:
        """How far the weights of the folder are known to have these accuracies."""
        if self.weights_sha256 is None:
            return "no weights"
        if self.verified is None:
            return "not verified with these weights"
        return (
            f"verified with these weights on {self.verified.n_images} images: their error is "
            f"{self.verified.mean_gap_pct:+.2f} points off on average"
        )


def read_entry(folder: Path) -> Entry:
    """The description of `folder`; InputError where it is damaged or is of other weights."""
    path = folder / ENTRY
    try:
        entry = Entry.model_validate(json_object(read_text(path, limit=MAX_BYTES), path))
    except ValidationError as error:
        fault = error.errors()[0]
        place = ".".join(map(str, fault["loc"]))
        raise InputError(f"{path}: {place}: {fault['msg']}; fetch the folder again") from None
    weights = folder / WEIGHTS
    if entry.weights_sha256 is not None or weights.exists():
        found = sha256_of(weights) if weights.exists() else "none"
        if found != entry.weights_sha256:
            raise InputError(
                f"{folder} does not fit together: its accuracies were attached to the weights "
                f"{entry.weights_sha256}, it holds {found}; run `nas supernet import` again"
            )
    return entry


def write_entry(entry: Entry, folder: Path) -> None:
    """Write `entry.json`."""
    content = entry.model_dump(by_alias=True, exclude_none=True)
    write_text(folder / ENTRY, json.dumps(content, indent=1) + "\n")


def read_published(
    folder: Path,
) -> tuple[Entry, Space, AccuracyTable, AccuracyPredictor]:
    """A folder with `entry.json`. InputError: something in it does not fit the rest."""
    from predictors import AccuracyPredictor, read_accuracy_table

    entry = read_entry(folder)
    space = space_from_dict(entry.space)
    table = read_accuracy_table(folder / TABLE, space)
    predictor = AccuracyPredictor.load(folder / "predictor", space)
    return entry, space, table, predictor


def attach(source: Path, folder: Path) -> Entry:
    """Copy the table and the predictor of `source` to the weights in `folder`, unverified."""
    for name in (TABLE, "predictor"):
        copy = shutil.copytree if (source / name).is_dir() else shutil.copyfile
        copy(source / name, folder / name)
    changed = {"weights_sha256": sha256_of(folder / WEIGHTS), "verified": None}
    entry = read_entry(source).model_copy(update=changed)
    write_entry(entry, folder)
    return entry


def note_verified(folder: Path, gaps_pct: Sequence[float], n_images: int) -> Entry:
    """Write down what images said: `gaps_pct` is of every subnet, measured less stated error."""
    check = Check(
        n_subnets=len(gaps_pct),
        n_images=n_images,
        mean_gap_pct=round(fmean(gaps_pct), 4),
        worst_gap_pct=round(max((abs(gap), gap) for gap in gaps_pct)[1], 4),
    )
    entry = read_entry(folder).model_copy(update={"verified": check})
    write_entry(entry, folder)
    return entry
