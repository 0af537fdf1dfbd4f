"""What is searched: a space, its accuracies, and the supernet behind them if there is one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from nas.files import sha256_of
from nas.pareto.records import SupernetEntry
from nas.search.settings import SearchSettings
from nas.zoo.folder import entry_folder, entry_name, folder_table
from nas.zoo.published import ENTRY, WEIGHTS, read_published
from predictors import AccuracyPredictor, AccuracyTable, lookup, read_accuracy_table
from search_spaces import Floats, Genes, InputError, PolicyGrid, Space, get_space, space_from_dict
from search_spaces.checkpoint import read_checkpoint


@dataclass(frozen=True)
class KnownAccuracy:
    """Error and exit rates: evaluated subnets use their own row, others the predictor."""

    table: AccuracyTable
    predictor: AccuracyPredictor

    @property
    def grid(self) -> PolicyGrid:
        return self.table.grid

    def __call__(self, genes: Genes) -> tuple[Floats, Floats, np.ndarray]:
        return lookup(self.table, self.predictor, genes)


@dataclass(frozen=True)
class Model:
    """What is searched: a space, its accuracies, and the supernet behind them if there is one."""

    space: Space
    accuracy: KnownAccuracy
    supernet: SupernetEntry | None
    folder: Path | None
    told: str = ""  # what one should know of the accuracies

    @property
    def measured_as(self) -> str:
        """What `nas measure --space` takes for its programs: the name of the space, or a folder."""
        own = self.folder is not None and entry_name(self.folder) == str(self.folder)
        return str(self.folder) if own else self.space.name


def load_model(settings: SearchSettings) -> Model:
    """The supernet's space and accuracies, or a space with a table of the user's."""
    if settings.space is not None and settings.accuracy_table is not None:
        space = get_space(settings.space)
        table = _own_table(settings.accuracy_table, space)
        return Model(space, KnownAccuracy(table, AccuracyPredictor(space).fit(table)), None, None)
    folder = entry_folder(settings.supernet)
    if (folder / ENTRY).exists():
        return _published(folder)
    _, metadata = read_checkpoint(folder / WEIGHTS)  # to load the weights would load torch
    space, checksum = space_from_dict(metadata["space"]), sha256_of(folder / WEIGHTS)
    table = folder_table(folder, space)
    if table.supernet_sha256 != checksum:
        raise InputError(
            f"{folder} does not fit together: its accuracy table belongs to other weights "
            f"({table.supernet_sha256}, not {checksum}); run `nas supernet evaluate`"
        )
    if not (folder / "predictor").exists():
        raise InputError(
            f"{folder} was not evaluated to the end: `nas supernet evaluate {folder}` goes on"
        )
    predictor = AccuracyPredictor.load(folder / "predictor", space)
    described: SupernetEntry = {
        "name": entry_name(folder),
        "sha256": checksum,
        "dataset": metadata["dataset"],
        "space": space.name,
    }
    return Model(space, KnownAccuracy(table, predictor), described, folder)


def _published(folder: Path) -> Model:
    """A space with published accuracies, and weights where they are attached."""
    entry, space, table, predictor = read_published(folder)
    described: SupernetEntry = {
        "name": entry_name(folder),
        "sha256": entry.weights_sha256,
        "dataset": entry.dataset,
        "space": space.name,
        "accuracies": entry.accuracies(),
    }
    if entry.checkpoint is not None:
        described["checkpoint"] = entry.checkpoint
    known = KnownAccuracy(table, predictor)
    return Model(space, known, described, folder, entry.described(table))


def _own_table(given: Path | AccuracyTable, space: Space) -> AccuracyTable:
    """The user's table, from its file if it is one. InputError: it is of another space."""
    if not isinstance(given, AccuracyTable):
        return read_accuracy_table(given, space)
    if given.grid.n_exits != space.n_exits:
        raise InputError(
            f"`accuracy_table` has {given.grid.n_exits} early exits, "
            f"{space.name} has {space.n_exits}; give a table of this space"
        )
    return replace(given, genes=space.check(given.genes))
