"""Bad input: exit code 1, one clear line, nothing half-written. And the small commands."""

import io
import json
import shutil
import subprocess
import sys

import pandas as pd
import pytest

from nas.cli.app import main
from nas.files import prepare_folder
from search_spaces import InputError, space_names
from tests.nas.conftest import nas


def refused(result, *words):
    """Assert that a command ended in one clear line with `words`."""
    assert result.code == 1, result.err
    assert "Traceback" not in result.err
    line = result.err.strip().splitlines()[-1]
    assert line.startswith("error: ")
    for word in words:
        assert word in line, line


def test_help_is_quick_and_loads_no_heavy_library():
    code = (
        "import sys; sys.argv = ['nas', '--help']\n"
        "from nas.cli.app import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "heavy = {'torch', 'xgboost', 'ray', 'optuna', 'pandas', 'sklearn'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for word in ("search", "devices", "spaces", "measure", "predictor", "supernet", "report"):
        assert word in done.stdout


@pytest.mark.parametrize("errors", ["strict", "surrogateescape"])  # that of the locale C
def test_a_terminal_that_is_not_utf_8_gets_what_it_can_show(monkeypatch, errors):
    written = io.BytesIO()
    monkeypatch.setattr(sys, "argv", ["nas", "supernet", "list"])
    monkeypatch.setattr(
        sys, "stdout", io.TextIOWrapper(written, "ascii", errors, write_through=True)
    )
    monkeypatch.setattr("nas.zoo.folder.zoo_names", lambda: ["8 ± 1"])
    with pytest.raises(SystemExit):
        main()
    assert written.getvalue() == b"8 ? 1\n"


@pytest.mark.parametrize(
    "words", ["search", "devices", "spaces", "measure", "report", "supernet train",
              "supernet data", "supernet evaluate", "supernet info", "predictor train",
              "predictor transfer",
              "predictor evaluate", "predictor predict"],
)  # fmt: skip
def test_every_command_has_help(words):
    assert nas(*words.split(), "--help").code == 0


def test_unknown_names_are_answered_with_the_nearest(tmp_path):
    refused(nas("search", "--device", "xavier-nxx", "--out", tmp_path / "x"), "xavier-nx")
    refused(nas("spaces", "resnet-cifra"), "resnet-cifar")
    refused(nas("search", "--device", "xavier-nx", "--supernet", "nope"), "no supernet 'nope'")
    refused(nas("search", "--device", "xavier-nx", "--power-mode", "TURBO"), "MODE_20W_6CORE")
    rows = ("--space", "resnet-cifar", "--out", tmp_path / "x" / "rows.csv")
    refused(nas("measure", "--device", "tx2", "--level", 99, *rows), "levels 0 to 12")
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--trials", "0"], ["--trials must be at least 1, got 0"]),
        (["--samples", "3"], ["--samples must be at least 8, got 3"]),
        (["--max-latency-ms", "-1"], ["--max-latency-ms must be a positive number"]),
        (["--max-energy-mj", "1e-9"], ["no configuration meets --max-energy-mj", "best reachable"]),
        (["--max-error-pct", "1e-9"], ["no configuration meets --max-error-pct"]),
        (["--space", "nasbench201"], ["--space and --accuracy-table belong together"]),
        (["--resume", "--overwrite"], ["exclude each other"]),
        (["--measurements", "missing.csv"], ["missing.csv"]),
        (["--proxy", "missing.csv"], ["missing.csv"]),
    ],
)
def test_settings_that_cannot_work(digits, tmp_path, arguments, words):
    fixed = ("search", "--device", "xavier-nx", "--supernet", digits.supernet)
    proxy = () if "--proxy" in arguments else ("--proxy", digits.rows)
    refused(nas(*fixed, *proxy, "--out", tmp_path / "run", *arguments), *words)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda rows: rows.drop(columns="latency_ms"), ["latency_ms"]),
        (lambda rows: rows.assign(latency_ms="fast"), ["latency_ms", "fast"]),
        (lambda rows: rows.assign(latency_ms=-1.0), ["latency_ms", "-1"]),
        (lambda rows: rows.assign(latency_ms=float("nan")), ["latency_ms"]),
        (lambda rows: rows.iloc[:0], ["no rows"]),
        (lambda rows: rows.iloc[:3], ["8 rows"]),
        (lambda rows: rows.assign(subnet="d1-w2"), ["d1-w2"]),
        (lambda rows: rows, ["rows of host, the target is xavier-nx"]),
    ],
)
def test_measured_rows_that_are_wrong(digits, tmp_path, damage, words):
    path = tmp_path / "rows.csv"
    damage(pd.read_csv(digits.rows).assign(gpu_mhz=510)).to_csv(path, index=False)
    fixed = ("search", "--device", "xavier-nx", "--supernet", digits.supernet)
    arguments = ("--proxy", digits.rows, "--measurements", path, "--out", tmp_path / "run")
    refused(nas(*fixed, *arguments), *words)
    assert not (tmp_path / "run").exists()


def test_an_empty_file_of_rows(digits, tmp_path):
    (tmp_path / "rows.csv").touch()
    fixed = ("search", "--device", "xavier-nx", "--supernet", digits.supernet)
    refused(nas(*fixed, "--proxy", tmp_path / "rows.csv", "--out", tmp_path / "run"), "rows.csv")


@pytest.mark.parametrize("keep", [0, 100, 0.5])
def test_a_truncated_checkpoint(digits, tmp_path, keep):
    folder = tmp_path / "supernet"
    shutil.copytree(digits.supernet, folder)
    weights = folder / "weights.safetensors"
    data = weights.read_bytes()
    weights.write_bytes(data[: int(keep * len(data)) if keep < 1 else keep])
    refused(nas("search", "--device", "xavier-nx", "--supernet", folder), "weights.safetensors")


def test_parts_of_two_supernets_are_not_mixed(digits, tmp_path):
    from supernets import load_supernet, save_supernet

    folder = tmp_path / "supernet"
    shutil.copytree(digits.supernet, folder)
    net, metadata = load_supernet(folder / "weights.safetensors")
    metadata = {k: v for k, v in metadata.items() if k not in ("schema", "space")}
    save_supernet(net, folder / "weights.safetensors", **{**metadata, "note": "other"})
    refused(
        nas("search", "--device", "xavier-nx", "--supernet", folder),
        "its accuracy table belongs to other weights",
    )


def test_a_folder_that_holds_a_run_is_not_touched(digits, tmp_path):
    (tmp_path / "run.json").write_text("{}")
    fixed = ("search", "--device", "xavier-nx", "--supernet", digits.supernet)
    refused(nas(*fixed, "--proxy", digits.rows, "--out", tmp_path), "already holds a run")
    rows = tmp_path.with_suffix(".csv")
    nas(*fixed, "--plan", rows, "--samples", 24)
    header, *lines = rows.read_text().replace(",,,,,,", ",,,0.3,,,").splitlines(keepends=True)
    rows.write_text("".join([header, *(line for line in lines if ",xavier-nx,14," in line)]))
    told = nas(*fixed, "--proxy", rows, "--out", tmp_path).err
    assert "warning: the proxy's rows are of xavier-nx itself" in " ".join(told.split())
    resumed = nas(*fixed, "--proxy", digits.rows, "--out", tmp_path, "--resume")
    refused(resumed, "holds a run with another device")
    assert [p.name for p in tmp_path.iterdir() if p.name != "run.lock"] == ["run.json"]


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"cannot write to .*file/run: .*; choose another `out`"):
        prepare_folder(tmp_path / "file" / "run")


def test_a_path_that_the_system_refuses():
    refused(nas("search", "--device", "nano", "--out", "a" * 300), "File name too long")


def test_spaces_as_json():
    described = json.loads(nas("spaces", "--json").out)
    assert [d["name"] for d in described] == space_names()
    assert json.loads(nas("spaces", "resnet-cifar", "--json").out)["n_exits"] == 3


def test_supernet_info_shows_the_card(digits):
    shown = nas("supernet", "info", digits.supernet)
    assert shown.code == 0
    assert "largest" in shown.out
    described = json.loads(nas("supernet", "info", digits.supernet, "--json").out)
    assert described["dataset"] == "digits"
    assert described["command"].startswith("nas supernet train")


def test_supernet_info_says_that_the_weights_are_damaged(digits, tmp_path, monkeypatch):
    """And of large ones what their header tells."""
    folder = shutil.copytree(digits.supernet, tmp_path / "net")
    weights = folder / "weights.safetensors"
    data = weights.read_bytes()
    weights.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    refused(nas("supernet", "info", folder), "weights.safetensors is damaged: its content does not")
    monkeypatch.setattr("nas.cli.supernet.LARGE", 0)
    assert nas("supernet", "info", folder).code == 0
    weights.write_bytes(data[:-1])
    refused(nas("supernet", "info", folder), "header does not account for its size")
    shutil.rmtree(folder)


def test_a_predictor_from_rows_to_a_prediction(digits, tmp_path):
    common = ("--space", "resnet-digits")
    trained = nas("predictor", "train", "--rows", digits.rows, "--out", tmp_path / "p", *common)
    assert trained.code == 0, trained.err
    assert "held-out subnets: MAPE" in trained.out
    quality = nas(
        "predictor", "evaluate", "--model", tmp_path / "p", "--rows", digits.rows, "--json", *common
    )
    assert json.loads(quality.out)["srcc"] > 0.9
    subnet = pd.read_csv(digits.rows)["subnet"].iloc[0]
    shown = nas("predictor", "predict", "--model", tmp_path / "p", "--subnet", subnet, *common)
    assert "(predicted)" in shown.out


def test_the_report_command_writes_beside_the_result(tmp_path):
    refused(nas("report", "--pareto", tmp_path / "none.json"), "does not exist")


def test_ctrl_c_is_ctrl_c_even_where_a_librarys_clean_up_fails(monkeypatch):
    def stopped(**_):
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt:
            raise FileNotFoundError("lock") from None

    monkeypatch.setattr("nas.cli.app.built", lambda: stopped)
    monkeypatch.setattr("nas.cli.app.kept", lambda *_: "")
    result = nas("spaces")
    assert result.code == 130
    assert result.err == "stopped\n"

    def broken(**_):
        raise FileNotFoundError("lock")

    monkeypatch.setattr("nas.cli.app.built", lambda: broken)
    with pytest.raises(FileNotFoundError):
        nas("spaces")
