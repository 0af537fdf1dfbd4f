"""Which supernet belongs to which space, with those that users add."""

from importlib.metadata import EntryPoint

import pytest

from search_spaces import InputError, NASBench201Space, ResNetSpace, resnet_digits
from supernets import ResNetSupernet, build_supernet, catalog, register_supernet


@pytest.fixture(autouse=True)
def registry(monkeypatch):
    """What a test registers is forgotten behind it."""
    monkeypatch.setattr(catalog, "_SUPERNETS", dict(catalog._SUPERNETS))


class MySpace(ResNetSpace):
    """A space below one of ours."""


class MySupernet(ResNetSupernet):
    """A supernet below one of ours."""


def my_space():
    return MySpace(**vars(resnet_digits()))


def test_a_type_below_a_known_one_has_its_supernet():
    assert type(build_supernet(my_space())) is ResNetSupernet


def test_a_registered_supernet_serves_its_type_alone():
    register_supernet(MySpace, MySupernet)
    assert type(build_supernet(my_space())) is MySupernet
    assert type(build_supernet(resnet_digits())) is ResNetSupernet


def test_a_clash_names_both():
    register_supernet(ResNetSpace, ResNetSupernet)  # again is no clash
    message = "ResNetSpace has the supernet ResNetSupernet already, MySupernet is refused"
    with pytest.raises(InputError, match=message):
        register_supernet(ResNetSpace, MySupernet)


def test_a_space_with_tables_alone_says_how_to_add_one():
    with pytest.raises(InputError, match=r"nasbench201 has no supernet.*register_supernet"):
        build_supernet(NASBench201Space())


def test_an_installed_package_adds_a_supernet(monkeypatch):
    point = EntryPoint("resnet-digits", f"{__name__}:MySupernet", catalog.GROUP)
    monkeypatch.setattr(catalog, "entry_points", lambda group: [point] * (group == catalog.GROUP))
    assert type(build_supernet(my_space())) is MySupernet
    assert type(build_supernet(resnet_digits())) is ResNetSupernet  # ours stays ours
    assert catalog._installed(NASBench201Space()) is None
