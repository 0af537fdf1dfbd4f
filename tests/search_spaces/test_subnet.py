"""A subnet is a value: equal, hashable, named, written and read."""

import pytest

from search_spaces import Subnet, resnet_digits

SPACE = resnet_digits()
SUBNET = SPACE.subnet(SPACE.smallest)


def test_a_subnet_is_a_value_with_a_name():
    same = SPACE.parse(str(SUBNET))
    assert same == SUBNET
    assert {SUBNET: 1}[same] == 1
    assert same.key == SUBNET.key
    assert len(SUBNET.key) == 8
    assert SPACE.subnet(SPACE.largest).key != SUBNET.key


def test_values_are_found_by_their_letter():
    assert SUBNET["d"] == (1, 1, 1, 1)
    assert SUBNET["e"][:2] == (50, 0)
    with pytest.raises(KeyError):
        SUBNET["x"]


def test_a_dictionary_holds_all_of_it():
    assert Subnet.from_dict(SUBNET.to_dict()) == SUBNET
