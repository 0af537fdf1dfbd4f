"""Where a proxy comes from: bundled rows, a file, or an analytic device."""

import numpy as np
import pytest

from nas.devices import get_device
from nas.transfer.programs import Programs
from nas.transfer.proxy import ANALYTIC_HOST, load_proxy
from predictors import TableError, mape_pct, read_rows
from search_spaces import InputError, get_space

DIGITS, CIFAR = get_space("resnet-digits"), get_space("resnet-cifar")


def whole(space, n=20):
    """Whole subnets with every head."""
    heads = np.ones((n, space.n_exits + 1), dtype=bool)
    return Programs(space, space.sample(n, np.random.default_rng(0)), heads)


def test_the_bundled_rows_of_a_space_are_learned():
    proxy = load_proxy(CIFAR, "auto")
    assert proxy.source == "measured"
    assert (
        proxy.described(CIFAR.name) == f"{proxy.n_rows} measured rows of {proxy.n_subnets} subnets"
    )
    latency = proxy.latency_ms(whole(CIFAR))
    assert latency.shape == (20,)
    assert (latency > 0).all()
    np.testing.assert_array_equal(load_proxy(CIFAR, "host").latency_ms(whole(CIFAR)), latency)


@pytest.mark.parametrize(("choice", "name"), [("auto", ANALYTIC_HOST), ("nano", "nano")])
def test_an_analytic_device_is_asked_at_its_top_level(choice, name):
    proxy = load_proxy(DIGITS, choice)
    assert (proxy.name, proxy.source, proxy.n_rows) == (name, "simulated", 0)
    assert "--space resnet-digits --out rows.csv" in proxy.described(DIGITS.name)
    simulated = get_device(name).cost(whole(DIGITS).operators)[0][:, -1]
    np.testing.assert_allclose(proxy.latency_ms(whole(DIGITS)), simulated)


def test_a_file_of_rows(tmp_path):
    space, programs = DIGITS, whole(DIGITS, 60)
    latency = get_device("tx2").cost(programs.operators)[0][:, -1]
    lines = ["space,subnet,heads,device,level,latency_ms,source"]
    lines += [
        f"{space.name},{subnet},0+1+2+3,board,0,{ms:.9g},published"
        for subnet, ms in zip(space.subnets(programs.genes), latency, strict=True)
    ]
    path = tmp_path / "rows.csv"
    path.write_text("\n".join(lines) + "\n")
    assert len(read_rows(path, space)) == 60
    proxy = load_proxy(space, str(path))
    assert (proxy.name, proxy.source, proxy.n_rows) == ("board", "published", 60)
    assert mape_pct(latency, proxy.latency_ms(programs)) < 3
    mixed = [line.replace("published", "measured") for line in lines[:30]] + lines[30:]
    path.write_text("\n".join(mixed) + "\n")
    assert load_proxy(space, str(path)).source == "measured+published"
    mixed = lines[:30] + [line.replace("board", "other") for line in lines[30:]]
    path.write_text("\n".join(mixed) + "\n")
    with pytest.raises(TableError, match=r"mixes 2 values of device \(board, other\)"):
        load_proxy(space, str(path))
    with pytest.raises(InputError, match=r"`proxy` nanno is neither .* lists; did you mean nano?"):
        load_proxy(space, "nanno")
    with pytest.raises(TableError, match=r"nowhere\.csv does not exist"):
        load_proxy(space, str(tmp_path / "nowhere.csv"))


@pytest.mark.parametrize("choice", ["auto", "nano"])
def test_pruned_layers_need_measured_rows(choice):
    with pytest.raises(InputError, match="no analytic model has a figure for the pruned layers"):
        load_proxy(get_space("resnet-digits-blocks4-10.100"), choice)
