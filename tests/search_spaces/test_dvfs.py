"""A level is named by the GPU's clock, by the CPU's where there is no GPU."""

import pytest

from search_spaces import DvfsLevel


@pytest.mark.parametrize(("gpu", "cpu", "named"), [(900.0, 1400.0, 900.0), (None, 1400.0, 1400.0)])
def test_the_clock_that_names_a_level(gpu, cpu, named):
    assert DvfsLevel(0, gpu, cpu, None).clock_mhz == named


def test_a_level_without_a_clock_is_no_level():
    with pytest.raises(ValueError, match="level 3 has neither a GPU nor a CPU clock"):
        _ = DvfsLevel(3, None, None, 1600.0).clock_mhz


def test_a_level_reads_back_from_its_dictionary():
    level = DvfsLevel(2, 900.0, 1400.0, 1600.0, "MODE_15W")
    assert DvfsLevel(**level.to_dict()) == level
