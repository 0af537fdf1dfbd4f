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
    n_images: int  # that the table's rows were measured on
    spread_pct: float  # of the table's rows around the predictor

    @classmethod
    def of(cls, table: AccuracyTable, predictor: AccuracyPredictor) -> Self | None:
        """None where nothing tells luck: the number of images is unknown, rows are few, or trees
        predict, which follow each row with its luck.
        """
        if table.n_images is None or len(table) < MIN_ROWS_TO_COMPARE:
            return None
        if predictor.kind_ != "kernel":
            return None
        gap = predictor.predict(table.genes)[0] - table.top1_error_pct
        return cls(predictor, table.n_images, float(np.sqrt(np.mean(gap**2))))

    def __call__(self, genes: Genes) -> tuple[Floats, Floats]:
        """Error and standard error `(n, P)`, both in percent, of canonical subnets.

        The standard error is that of a share of `n_images` images, which all subnets have in
        common, and the spread of the rows.
        """
        error, _ = self.predictor.predict(genes)
        sampled = error * (100 - error) / self.n_images
        return error, np.sqrt(sampled + self.spread_pct**2)
