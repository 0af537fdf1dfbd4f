"""Where the rows of a table come from."""

from __future__ import annotations

import pandas as pd

from nas.pareto.provenance import MEASURED


def source_of(rows: pd.DataFrame) -> str:
    """The sources of `rows`, joined by +; rows that name none were measured."""
    named = rows["source"].dropna() if "source" in rows else pd.Series(dtype=object)
    return "+".join(filter(None, named.unique())) or MEASURED
