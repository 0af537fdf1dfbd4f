"""Where a proxy comes from: bundled rows, a file, or an analytic device."""

from importlib.resources import files
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from nas.devices import get_device
from nas.transfer.programs import Programs
from nas.transfer.proxy import ANALYTIC_HOST, load_proxy
from predictors import TableError, mape_pct, read_rows
from search_spaces import InputError, UnitRatioSpace, get_space

DIGITS, CIFAR = get_space("resnet-digits"), get_space("resnet-cifar")
BUNDLED = Path(str(files("nas.devices") / "proxies" / "resnet-cifar-host.csv"))


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
    assert (proxy.predictor.n_rows_, proxy.predictor.n_groups_) == (proxy.n_rows, proxy.n_subnets)
    assert proxy.n_subnets < proxy.n_rows
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


@pytest.mark.parametrize("column", ["level", "gpu_mhz", "cpu_mhz"])
def test_rows_of_several_clocks_are_no_proxy(tmp_path, column):
    device, subnets = get_device("nano"), DIGITS.subnets(whole(DIGITS).genes)
    rows = [device.measure(DIGITS, s, [3], (0, 5, 11)[i % 3]) for i, s in enumerate(subnets)]
    table, path = pd.DataFrame(rows), tmp_path / "rows.csv"
    if column == "level":
        table = table.drop(columns=["gpu_mhz"])
    elif column == "gpu_mhz":
        table = table.drop(columns=["level"])
    else:
        alone = [device.measure(DIGITS, s, [3], 11) for s in subnets]
        table = pd.DataFrame(alone).assign(cpu_mhz=[614.4, 1224, 1479] * 6 + [614.4, 1224])
    table.to_csv(path, index=False)
    with pytest.raises(TableError, match=rf"mixes 3 values of {column} .*: keep the rows of one"):
        load_proxy(DIGITS, str(path))
    table[table[column] == table[column].iloc[0]].to_csv(path, index=False)
    assert load_proxy(DIGITS, str(path)).n_rows == 7


def test_the_clock_of_this_machine_may_wander_in_a_proxys_rows(tmp_path):
    rows = read_rows(BUNDLED, CIFAR)[:40].assign(cpu_mhz=np.linspace(2000, 3000, 40))
    rows.to_csv(tmp_path / "rows.csv", index=False)
    assert load_proxy(CIFAR, str(tmp_path / "rows.csv")).n_rows == 40


@pytest.mark.parametrize("choice", ["auto", "host", "nano"])
def test_pruned_layers_need_measured_rows(choice):
    with pytest.raises(InputError, match="no analytic model has a figure for the pruned layers"):
        load_proxy(get_space("resnet-digits-blocks4-10.100"), choice)
    many = tuple(range(100, 900, 100))
    long = UnitRatioSpace.of(DIGITS, many, "block", densities=((100,) * 19,) * 8)
    assert len(long.name) > 255  # characters that the name of a file can have
    with pytest.raises(InputError, match=r"--space my/net --out rows\.csv`, and give `proxy` rows"):
        load_proxy(long, choice, "my/net")
