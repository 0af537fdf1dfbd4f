"""InputError is what a caller of a library catches: a ValueError with one line."""

import pytest

from search_spaces import InputError, get_space


def test_it_is_a_value_error_of_one_line():
    line = r"^unknown space 'no-space'; did you mean .+\? `nas spaces` lists them$"
    with pytest.raises(ValueError, match=line) as found:
        get_space("no-space")
    assert type(found.value) is InputError
    assert "\n" not in str(found.value)
    with pytest.raises(
        InputError, match=r"^unknown space 'foo'; known: resnet-cifar, .* or the folder"
    ):
        get_space("foo")
