"""What is searched: a space, its accuracies, and the supernet behind them if there is one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from nas.pareto.records import SupernetEntry
from nas.search.settings import SearchSettings
from nas.zoo.folder import supernet_folder
from predictors import AccuracyPredictor, AccuracyTable, lookup, read_accuracy_table
from search_spaces import Floats, Genes, InputError, PolicyGrid, Space, get_space


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


def load_model(settings: SearchSettings) -> Model:
    """The supernet's space and accuracies, or a space with a table of the user's."""
    if settings.space is not None and settings.accuracy_table is not None:
        space = get_space(settings.space)
        table = _own_table(settings.accuracy_table, space)
        return Model(space, KnownAccuracy(table, AccuracyPredictor(space).fit(table)), None, None)
    from supernets import load_supernet, sha256

    folder = supernet_folder(settings.supernet)
    supernet, metadata = load_supernet(folder / "weights.safetensors")
    checksum = sha256(folder / "weights.safetensors")
    table = read_accuracy_table(folder / "accuracy.safetensors", supernet.space)
    if table.supernet_sha256 != checksum:
        raise InputError(
            f"{folder} does not fit together: its accuracy table belongs to other weights "
            f"({table.supernet_sha256}, not {checksum}); run `nas supernet evaluate`"
        )
    predictor = AccuracyPredictor.load(folder / "predictor", supernet.space)
    described: SupernetEntry = {
        "name": folder.name,
        "sha256": checksum,
        "dataset": metadata["dataset"],
        "space": supernet.space.name,
    }
    return Model(supernet.space, KnownAccuracy(table, predictor), described, folder)


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
