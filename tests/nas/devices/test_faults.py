"""Faults of a profile's file: all at once, in plain words with unit and example."""

from __future__ import annotations

from pathlib import Path

import pytest

from nas.devices import get_device, load_profile
from nas.devices.library import profile_paths
from search_spaces import InputError

NANO = profile_paths()["nano"].read_text(encoding="utf-8")
CLOCKS = next(line for line in NANO.splitlines() if line.startswith("gpu_mhz"))


def said(folder: Path, *changes: tuple[str, str], name: str = "nano.toml") -> str:
    """What is said of a copy of the Nano's profile with `changes`."""
    text = NANO
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    (folder / name).write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as caught:
        load_profile(str(folder / name))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_all_faults_at_once_with_unit_and_example(tmp_path: Path) -> None:
    text = said(
        tmp_path,
        (CLOCKS, 'gpu_mhz = "fast"'),
        ("decision_ms = 0.04", "decision_ms = -1"),
        ('default_backend = "tensorrt"', 'default_backend = "tflite"'),
        ("base_w = 1.8", ""),
    )
    assert text.endswith(
        'gpu_mhz: must be a list in MHz, got "fast"; for example gpu_mhz = [114.75, 204, 306, ...]'
        "; decision_ms: must be 0 or more in ms, got -1; for example decision_ms = 0.02"
        "; power.base_w: is missing: add it in W; for example base_w = 3.863"
        "; default_backend must be one of tensorrt, tensorflow, pytorch, ncnn, ncnn-vulkan, "
        "got 'tflite'"
    )


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (CLOCKS, "gpu_mzh = [76.8]", "correct its spelling; did you mean gpu_mhz?"),
        ("[76.8, ", '["slow", ', 'gpu_mhz.0: must be a number in MHz, got "slow"; for example'),
        ("cores = 4", "cores = 4.5", "modes.0.cores: must be a whole number, got 4.5"),
        ("cores = 4", "cores = 0", "modes.0.cores: must be 1 or more, got 0"),
        ("conv3x3 = 0.8", "conv3x3 = inf", "efficiency.conv3x3: must be a finite number"),
        ("p = 2.8", "p = [2.8]", "backends.tensorrt.p: must be a number, got [2.8]; for"),
        ('units = "4 Cortex-A57"', "units = 4", "cpu.units: must be a text in quotes, got 4;"),
        ('backend = "tensorrt"', 'backend = "tensort"', "got 'tensort'; did you mean tensorrt?"),
        ('mode = "MAXN"', 'mode = "maxn"', "MAXN, 5W, got 'maxn'; did you mean MAXN?"),
    ],
)
def test_a_fault_in_plain_words(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert message in said(tmp_path, (old, new))


def test_faults_between_tables_are_named_together(tmp_path: Path) -> None:
    text = said(tmp_path, ("[204, 408, ", "[408, 204, "), ('"decision_ms",', '"decision_us",'))
    assert "emc_mhz must rise" in text
    assert "provenance names what the profile does not hold: decision_us" in text
    assert "provenance must name every figure; add decision_ms" in text


def test_a_copy_must_not_pass_for_the_board_that_it_was_copied_from(tmp_path: Path) -> None:
    text = said(tmp_path, name="my-board.toml")
    assert "has the name 'nano'; name it as the file (my-board), or the file as it" in text
    (tmp_path / "nano.toml").write_text(NANO, encoding="utf-8")
    assert get_device(str(tmp_path / "nano.toml")).name == "nano"


@pytest.mark.parametrize(
    ("asked", "meant"),
    [
        ({"device": "Xavier-NX"}, "did you mean xavier-nx,"),
        ({"device": "nano", "backend": "tensorrtt"}, "did you mean tensorrt?"),
        ({"device": "nano", "power_mode": "maxn"}, "it has MAXN, 5W; did you mean MAXN?"),
        ({"device": "nano", "precision": "fp-16"}, "did you mean fp16?"),
        ({"device": "host", "backend": "onnx-runtime"}, "did you mean onnxruntime?"),
    ],
)
def test_what_was_meant_is_named(asked: dict[str, str], meant: str) -> None:
    with pytest.raises(InputError) as caught:
        get_device(**asked)  # type: ignore[arg-type]
    assert meant in str(caught.value)
