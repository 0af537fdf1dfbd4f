"""Which level a measured row belongs to."""

import numpy as np
import pandas as pd
import pytest

from nas.transfer.levels import clocks_mhz, own_level, with_clock
from search_spaces import DvfsLevel, InputError

GPU = [DvfsLevel(i, mhz, 1000.0, 1600.0) for i, mhz in enumerate((300.0, 600.0, 900.0))]
CPU = [DvfsLevel(i, None, mhz, None) for i, mhz in enumerate((800.0, 1600.0))]


def test_the_clock_that_names_a_level():
    assert clocks_mhz(GPU).tolist() == [300, 600, 900]
    assert clocks_mhz(CPU).tolist() == [800, 1600]


def test_rows_keep_their_own_clock_and_take_the_levels_where_they_name_none():
    rows = pd.DataFrame({"gpu_mhz": [310.0, np.nan], "level": [0, 2]})
    assert with_clock(rows, GPU)["clock_mhz"].tolist() == [310, 900]
    assert with_clock(pd.DataFrame({"level": [1, 0]}), CPU)["clock_mhz"].tolist() == [1600, 800]


def test_rows_of_a_machine_as_it_is_are_at_one_clock_however_it_wanders():
    rows = pd.DataFrame({"cpu_mhz": [3899.91, 3901.2, np.nan], "level": [0, np.nan, 0]})
    assert with_clock(rows, CPU[:1])["clock_mhz"].tolist() == [800] * 3
    of_a_mode = [DvfsLevel(0, None, 800.0, None, "10W")]  # whose other clocks a law goes on from
    assert with_clock(rows, of_a_mode)["clock_mhz"].tolist() == [3899.91, 3901.2, 800]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ({"level": [0, 3]}, r"name level 3, the device has levels 0 to 2"),
        ({"gpu_mhz": [300.0, np.nan]}, "need gpu_mhz or level in every row"),
        ({"cpu_mhz": [300.0]}, "need gpu_mhz or level in every row"),
    ],
)
def test_rows_without_a_level_are_refused(rows, message):
    with pytest.raises(InputError, match=message):
        with_clock(pd.DataFrame(rows), GPU)


def test_a_rows_own_level_is_the_nearest_in_clock():
    costs = np.arange(9).reshape(3, 3)
    index = own_level(np.array([310.0, 899.0, 600.0]), clocks_mhz(GPU))
    assert costs[index].tolist() == [0, 5, 7]
