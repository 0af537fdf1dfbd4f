"""Names of spaces: those of users beside ours, own objects where names go."""

import pytest

from search_spaces import (
    InputError,
    NASBench201Space,
    ResNetSpace,
    catalog,
    get_space,
    register_space,
    resnet_digits,
    space_from_dict,
    space_names,
)


@pytest.fixture(autouse=True)
def registries(monkeypatch):
    """What a test registers is forgotten behind it."""
    monkeypatch.setattr(catalog, "_SPACES", dict(catalog._SPACES))
    monkeypatch.setattr(catalog, "_KINDS", dict(catalog._KINDS))


def mine():
    return NASBench201Space(name="mine")


def test_a_registered_space_is_found_by_its_name():
    register_space("mine", mine)
    assert get_space("mine") == mine()
    assert space_names()[-1] == "mine"
    assert space_from_dict(mine().to_dict()) == mine()
    with pytest.raises(InputError, match="did you mean mine"):
        get_space("mien")


def test_a_name_may_hold_what_marks_exits():
    register_space("my-xception", mine)
    assert get_space("my-xception") == mine()


def test_an_own_space_goes_in_where_a_name_goes():
    space = mine()
    assert get_space(space) is space


def test_a_checkpoint_of_a_registered_kind_is_read_back():
    class MySpace(ResNetSpace):
        def to_dict(self):
            return {**super().to_dict(), "kind": "my-kind"}

    space = MySpace(**vars(resnet_digits()))
    register_space("my-kind", lambda: space, kind=MySpace)
    assert space_from_dict(space.to_dict()) == space
    assert isinstance(space_from_dict(space.to_dict()), MySpace)


def test_a_clash_names_both():
    register_space("mine", mine)
    register_space("mine", mine)  # importing a package twice is no clash
    message = (
        r"'mine' is registered already, by .*test_catalog\.mine; .*resnet_digits needs another"
    )
    with pytest.raises(InputError, match=message):
        register_space("mine", resnet_digits)
    with pytest.raises(
        InputError, match=r"'nasbench201' is registered already, by .*NASBench201Sp"
    ):
        register_space("nasbench201", mine)


def test_an_installed_package_adds_a_space(monkeypatch, tmp_path):
    about = tmp_path / "my_space-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: my-space\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(
        f"[nas.spaces]\nmy-cells = {__name__}:mine\nnasbench201 = {__name__}:mine\n"
        "my-resnet = my_space:MyResNet\n"
    )
    (tmp_path / "my_space.py").write_text(
        "from dataclasses import dataclass\nfrom search_spaces import ResNetSpace\n"
        "@dataclass(frozen=True)\nclass MyResNet(ResNetSpace):\n"
        "    def to_dict(self):\n        return {**super().to_dict(), 'kind': 'my-resnet'}\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert get_space("my-cells") == mine()
    assert get_space("nasbench201").name == "nasbench201"  # ours stay ours
    assert space_names()[-2:] == ["my-cells", "my-resnet"]
    described = {**resnet_digits().to_dict(), "kind": "my-resnet"}
    space = space_from_dict(described)
    assert (type(space).__name__, space.to_dict()) == ("MyResNet", described)
