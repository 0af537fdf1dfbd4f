"""What images that chose nothing are expected to say of a subnet, and how far off that may be.

A search picks, of many evaluated subnets, those that were lucky on the images they were evaluated
on, so their measured errors are too good. The predictor is the mean of a Gaussian process: at an
evaluated subnet it weighs the subnet's own row against its neighbours' by how much noise the rows
show. A lucky row is drawn back to them, and whoever picks it by its luck cannot bias that mean
(as in James and Stein, 1961; Efron, "Tweedie's formula and selection bias", 2011).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from predictors.accuracy.predictor import MIN_ROWS_TO_COMPARE, AccuracyPredictor
from predictors.accuracy.table import AccuracyTable
from search_spaces import Floats, Genes


@dataclass(frozen=True)
class NewImages:
    """Expected error of any subnet on images that served no choice, with its standard error."""

    predictor: AccuracyPredictor
    table: AccuracyTable
    n_images: int  # that its rows were measured on
    spread_pct: float  # of its rows around the predictor
    left_out_pct: float  # and around one that does not know them, as it knows no other subnet

    @classmethod
    def of(cls, table: AccuracyTable, predictor: AccuracyPredictor) -> Self | None:
        """None where nothing tells luck: the number of images is unknown, rows are few, or trees
        predict, which follow each row with its luck.
        """
        if table.n_images is None or len(table) < MIN_ROWS_TO_COMPARE:
            return None
        if predictor.kind_ != "kernel":
            return None
        said = predictor.predict(table.genes)[0], predictor.predict_left_out(table)
        spreads = [float(np.sqrt(np.mean((x - table.top1_error_pct) ** 2))) for x in said]
        return cls(predictor, table, table.n_images, *spreads)

    def __call__(self, genes: Genes) -> tuple[Floats, Floats]:
        """Error and standard error `(n, P)`, both in percent, of canonical subnets.

        The standard error is that of a share of `n_images` images, which all subnets have in
        common, and the spread of the rows: of evaluated subnets around the predictor, of others
        around what it says without them.
        """
        error, _ = self.predictor.predict(genes)
        sampled = error * (100 - error) / self.n_images
        evaluated = self.table.rows(genes) >= 0
        spread = np.where(evaluated, self.spread_pct, self.left_out_pct)[:, None]
        return error, np.sqrt(sampled + spread**2)
