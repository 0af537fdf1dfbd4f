"""The once-for-all spaces: their published sizes, OFA's configurations, optional exits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.cli.spaces import spaces
from search_spaces import InputError, MobileNetV3Space, OnceForAllSpace, Subnet, get_space


def space_of(name: str) -> OnceForAllSpace:
    space = get_space(name)
    assert isinstance(space, OnceForAllSpace)
    return space


MOBILE, WIDE, RESNET = map(space_of, ["ofa-mobilenetv3", "ofa-mobilenetv3-w1.2", "ofa-resnet50"])
EXITS = space_of("ofa-resnet50-x0.2")

every_space = pytest.mark.parametrize("space", [MOBILE, WIDE, RESNET, EXITS], ids=lambda s: s.name)


def mmacs(space: OnceForAllSpace, genes: np.ndarray) -> float:
    last = np.arange(space.n_exits + 1) == space.n_exits
    return float(space.operators(genes, last[None]).macs.sum() / 1e6)


# ---- sizes -------------------------------------------------------------------------------------


def test_widths_are_multiples_of_eight_that_lose_at_most_a_tenth() -> None:
    assert MOBILE.layer_widths == (16, 16, 24, 40, 80, 112, 160, 960, 1280)
    assert WIDE.layer_widths == (24, 24, 32, 48, 96, 136, 192, 1152, 1536)
    assert RESNET.width_choices[:3] == ((24, 24, 32), (40, 48, 64), (168, 208, 256))
    assert RESNET.width_choices[5] == (1328, 1640, 2048)


def test_the_largest_subnets_have_their_published_macs() -> None:
    """566 M as `ofa`'s own counter has it for depth 4, expand 6, kernel 7 at 224 pixels."""
    assert mmacs(MOBILE, MOBILE.largest) == pytest.approx(566.17, abs=0.01)
    assert mmacs(RESNET, RESNET.largest) == pytest.approx(7491.64, abs=0.01)


def test_equal_stem_widths_are_one_choice() -> None:
    config = {"d": [0] * 5, "e": 0.2, "w": [0, 0, 0, 0, 0, 0]}
    assert RESNET.from_ofa(config) == RESNET.from_ofa({**config, "w": [1, 0, 0, 0, 0, 0]})


# ---- OFA's configurations ------------------------------------------------------------------------


@every_space
@given(seed=st.integers(0, 2**32 - 1))
def test_a_subnet_survives_ofas_configuration(space: OnceForAllSpace, seed: int) -> None:
    subnet = space.subnet(space.sample(1, np.random.default_rng(seed)))
    config = space.to_ofa(subnet)
    assert space.from_ofa(config) == subnet
    plain = {
        key: np.array(value) if isinstance(value, list) else value for key, value in config.items()
    }
    assert space.from_ofa(plain) == subnet


def test_the_dialects_say_the_same() -> None:
    full = {"ks": [7] * 20, "e": [6] * 20, "d": [4] * 5, "image_size": 176}
    rest = {key: full[key] for key in ("ks", "e", "d")}
    wanted = MOBILE.from_ofa(full)
    dialects = [
        {**rest, "r": [176]},
        {**rest, "r": 176},
        {**rest, "r": [176], "wid": None},
        {**rest, "image_size": [176], "wid": 1.0},
        {"ks": 7, "e": 6, "d": 4, "r": 176},
        {**rest, "r": 176, "image_size": 176},
    ]
    assert {MOBILE.from_ofa(config) for config in dialects} == {wanted}
    assert MOBILE.from_ofa(rest)["r"] == (224,)


def test_entries_of_skipped_blocks_do_not_count() -> None:
    a = {"ks": [3, 5, 7, 7] * 5, "e": [4] * 20, "d": [2] * 5, "r": 128}
    b = {**a, "ks": [3, 5, 0, 0] * 5, "e": [4, 4, 0, 0] * 5}
    assert MOBILE.from_ofa(a) == MOBILE.from_ofa(b)
    assert MOBILE.to_ofa(MOBILE.from_ofa(a))["ks"] == [3, 5, 0, 0] * 5


def test_the_stem_of_resnet50_keeps_its_block_at_the_largest_depth_only() -> None:
    stems = [RESNET.from_ofa({"d": [d, 0, 0, 0, 0], "e": 0.35, "w": 2})["s"] for d in (0, 1, 2)]
    assert stems == [(0,), (0,), (1,)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ks": [7] * 19}, "ks of a configuration of ofa-mobilenetv3 must be 20 whole numbers"),
        ({"ks": 4}, r"kernel0 of ofa-mobilenetv3 must be one of \(3, 5, 7\), got 4"),
        ({"e": 4.5}, "e of a configuration .* whole numbers or one for all, got 4.5"),
        ({"d": None}, "d of a configuration .* got None"),
        ({"d": "44444"}, "d of a configuration .* got '44444'"),
        ({"r": 225}, "resolution of ofa-mobilenetv3 must be one of .* got 225"),
        ({"r": [128, 224]}, "r of a configuration .* must be 1"),
        ({"image_size": 128}, r"image_size and r of a configuration differ: \[128, 224\]"),
        ({"wid": 1.2}, "wid 1.2 is another supernet"),
        ({"w": [2]}, "has ks, e, d, image_size, r, wid, found w"),
    ],
)
def test_a_wrong_configuration_is_named(change: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        MOBILE.from_ofa({"ks": 7, "e": 6, "d": 4, "r": 224} | change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"w": 3}, r"w of a configuration of ofa-resnet50 must lie in 0..2"),
        ({"d": [5, 0, 0, 0, 0]}, r"d\[0\] 5"),
        ({"d": [0, 3, 0, 0, 0]}, r"depth0 of ofa-resnet50 must be one of \(2, 3, 4\), got 5"),
        ({"e": 0.3}, r"expand0 of ofa-resnet50 must be one of \(20, 25, 35\), got 30"),
    ],
)
def test_a_wrong_configuration_of_resnet50_is_named(change: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        RESNET.from_ofa({"d": 2, "e": 0.35, "w": 2, "r": 224} | change)


# ---- exits -------------------------------------------------------------------------------------


def test_exits_are_part_of_the_name() -> None:
    assert EXITS.exits == (0, 2)
    assert RESNET.with_exits([0, 2]) == EXITS
    assert EXITS.n_exits == 2
    assert [list(EXITS.stages(k)) for k in range(3)] == [[0], [1, 2], [3]]
    assert [EXITS.segment(stage) for stage in range(4)] == [0, 1, 1, 2]


@pytest.mark.parametrize(
    "name", ["ofa-resnet50-x3", "ofa-resnet50-x2.1", "ofa-mobilenetv3-x4", "ofa-mobilenetv3-x1.1"]
)
def test_impossible_exits_are_refused(name: str) -> None:
    with pytest.raises(InputError, match="exits must rise and lie in 0"):
        get_space(name)


@pytest.mark.parametrize("name", ["ofa-resnet50-x", "ofa-resnet50-xa", "resnet-cifar-x1"])
def test_a_name_with_wrong_exits_is_answered_with_an_example(name: str) -> None:
    with pytest.raises(InputError, match=r"exits are named like ofa-resnet50-x1\.2"):
        get_space(name)


def test_an_early_program_costs_less_and_does_not_see_later_genes() -> None:
    for k in range(3):
        heads = np.arange(3)[None] == k
        used = EXITS.used_genes(heads)[0]
        named = dict(zip(EXITS.gene_names, used, strict=True))
        assert named["resolution0"]
        assert named["stem0"]
        assert named["width0"]
        assert named["depth3"] == (k == 2)
        assert named["depth1"] == (k >= 1)
    costs = [EXITS.operators(EXITS.largest, np.arange(3)[None] == k).macs.sum() for k in range(3)]
    assert costs == sorted(costs)


# ---- configurations as files ---------------------------------------------------------------------


def net_config(space: MobileNetV3Space, subnet: Subnet) -> dict[str, Any]:
    """A preset as `ofa` writes it: a list of layers."""
    layers = [{"in_channels": 16, "out_channels": space.layer_widths[1], "expand_ratio": 1}]
    for s, depth in enumerate(subnet["d"]):
        for b in range(depth):
            i, c_out = space.first_slot(s) + b, space.widths[s]
            c_in = c_out if b else layers[-1]["out_channels"]
            layers.append(
                {"name": "MBInvertedConvLayer", "in_channels": c_in, "out_channels": c_out}
                | {"kernel_size": subnet["k"][i], "mid_channels": None}
                | {"expand_ratio": subnet["e"][i], "act_func": "relu", "use_se": False}
            )
    blocks = [{"name": "MobileInvertedResidualBlock", "mobile_inverted_conv": c} for c in layers]
    return {"name": "MobileNetV3", "bn": {"momentum": 0.1}, "blocks": blocks, "classifier": {}}


@given(seed=st.integers(0, 2**31))
def test_a_preset_is_the_subnet_that_it_lists(seed: int) -> None:
    space = get_space("ofa-mobilenetv3-w1.2")
    subnet = space.subnets(space.sample(1, np.random.default_rng(seed)))[0]
    preset = net_config(space, subnet) | {"image_size": subnet["r"][0]}
    assert space.from_ofa(preset) == subnet
    assert space.parse(json.dumps(preset)) == subnet
    assert space.parse(json.dumps(space.to_ofa(subnet))) == subnet


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "ProxylessNASNets"}, "net.config of 'ProxylessNASNets' is not read here"),
        ({"blocks": []}, "blocks of net.config must be a list"),
        ({"blocks": [3]}, "blocks of net.config must be a list"),
        ({"blocks": "x"}, "blocks of net.config must be a list"),
    ],
)
def test_presets_that_do_not_fit(change: dict[str, Any], message: str) -> None:
    space = get_space("ofa-mobilenetv3")
    preset = net_config(space, space.subnet(space.smallest)) | change
    with pytest.raises(InputError, match=message):
        space.from_ofa(preset)
    with pytest.raises(InputError, match=r"is not read here, only ResNets's"):
        get_space("ofa-resnet50").from_ofa(preset)


def test_a_preset_of_another_width(tmp_path: Path) -> None:
    wide = get_space("ofa-mobilenetv3-w1.2")
    preset = net_config(wide, wide.subnet(wide.smallest))
    with pytest.raises(
        InputError, match=r"blocks\[1\] of net.config has 32 output channels; the sta"
    ):
        get_space("ofa-mobilenetv3").from_ofa(preset)


@pytest.mark.parametrize(
    "text", ["{", "{}", '{"ks": 3, "e": 6}', "{" * 99999, '{"d": ' + "9" * 5000]
)
def test_a_configuration_that_is_none_is_one_line(text: str) -> None:
    with pytest.raises(InputError) as caught:
        get_space("ofa-mobilenetv3").parse(text)
    assert "\n" not in str(caught.value)


def test_a_file_with_a_configuration(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    space = get_space("ofa-mobilenetv3")
    (tmp_path / "net.config").write_text(
        "\ufeff" + json.dumps(net_config(space, space.parse(space.example)))
    )
    spaces("ofa-mobilenetv3", tmp_path / "net.config")
    assert capsys.readouterr().out.strip() == space.example
    (tmp_path / "net.config").write_text("no")
    with pytest.raises(InputError, match=r"net.config holds no configuration"):
        spaces("ofa-mobilenetv3", tmp_path / "net.config")
