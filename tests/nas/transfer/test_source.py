"""Words of provenance."""

import pandas as pd
import pytest

from nas.pareto.provenance import predicted_from
from nas.transfer.source import source_of


@pytest.mark.parametrize(
    ("sources", "joined", "predicted"),
    [
        (["measured", "measured"], "measured", "predicted"),
        (["simulated"], "simulated", "predicted (simulated)"),
        (["measured", "simulated"], "measured+simulated", "predicted (simulated)"),
        (["published", None], "published", "predicted (published)"),
        ([None], "measured", "predicted"),
    ],
)
def test_a_prediction_says_what_its_rows_were(sources, joined, predicted):
    found = source_of(pd.DataFrame({"source": sources}))
    assert (found, predicted_from(found)) == (joined, predicted)


def test_rows_without_a_source_were_measured():
    assert source_of(pd.DataFrame({"latency_ms": [1.0]})) == "measured"
