"""Numbers and options that a caller gave."""

from __future__ import annotations

import pytest

from nas.given import check_not_given
from search_spaces import InputError


def test_an_option_of_another_kind_is_refused_whatever_it_is() -> None:
    check_not_given({"a": None, "b": False, "c": [], "d": ()}, "boards")
    for value in (0, 0.0, "", True, [0]):
        with pytest.raises(InputError, match=r"^`b` is for boards$"):
            check_not_given({"a": None, "b": value}, "boards")
