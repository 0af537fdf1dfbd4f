"""`nas supernet train`: what is refused, by the option's or the layer's name."""

from __future__ import annotations

from pathlib import Path

import pytest

from nas.cli.supernet_train import usual_batch
from nas.files import exclusive
from search_spaces import GroupSpace
from supernets import save_supernet
from supernets.grouped import GroupedSupernet
from tests.nas.conftest import nas, refused
from tests.supernets.tiny import supernet

GROUPS = ("supernet", "train", "--kind", "groups", "--quiet", "--out")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--shape", "alexnet", "--groups", 3), "--groups 3 does not divide the 32 channels of st"),
        (("--set", "progressive=true"), "--set `progressive` is for subnets that share a step"),
        (("--groups", 0), "--groups must be at least 1, got 0"),
        (("--shape", "vgg"), "--shape must be resnet, alexnet or one of"),
        (("--shape", "ofa-mobilenetv3"), "first.depthwise of ofa-mobilenetv3 cannot be grouped"),
        (("--shape", "resnet-cifar"), "--shape resnet-cifar is for other images than --data holds"),
        (("--start", "resnet-cifar10"), "--start gives whole networks; groups begin anew"),
        (("--exits-only",), "--exits-only is for a finished supernet"),
        (("--ratios", "1,.5"), "--ratios is for --kind all-in-one, this is groups"),
        (
            ("--resolution", 8, "--groups", 16),
            "--groups 16 does not divide the 24 channels of stage",
        ),
        (("--resolution", 20), "--resolution must be one of 8, 16, 24,"),
        (("--threads", 0), "--threads must be at least 1, got 0"),
        (("--batch-size", 0), "--batch-size must be positive, got 0"),
    ],
)
def test_what_cannot_be_grouped_is_named(
    options: tuple[object, ...], words: str, tmp_path: Path
) -> None:
    # before images are looked at, but for what depends on them
    missing = () if "--data holds" in words else ("--data", tmp_path / "missing")
    refused(nas(*GROUPS, tmp_path / "out", *options, *missing), words)
    assert not (tmp_path / "out" / "weights.safetensors").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--g", 64), "--g must be 1 to 8, the channels of the narrowest stage, got 64"),
        (("--sparsities", "0,1"), "--sparsities must be 0 or more and at most .99, got 0,1"),
    ],
)
def test_blocks_that_no_images_allow_are_refused_at_once(
    options: tuple[object, ...], words: str, tmp_path: Path
) -> None:
    train = ("supernet", "train", "--kind", "blocks", "--quiet", "--out", tmp_path / "out")
    refused(nas(*train, *options, "--data", tmp_path / "missing"), words)


def test_a_small_set_gets_a_small_batch() -> None:
    assert [usual_batch(n) for n in (2, 9, 800, 50_000)] == [2, 8, 100, 256]


def test_a_checkpoint_of_another_kind_is_named(tmp_path: Path) -> None:
    net = GroupedSupernet(GroupSpace.of("alexnet", 2, 8, 1))
    save_supernet(net, tmp_path / "weights.safetensors")
    done = nas("supernet", "train", "--quiet", "--out", tmp_path)
    refused(done, "holds a supernet of kind groups, --kind asks for elastic")
    done = nas("supernet", "train", "--quiet", "--out", tmp_path / "new", "--start", tmp_path)
    refused(done, "is a supernet of kind groups; start from one of kind elastic")
    save_supernet(supernet(), tmp_path / "elastic" / "weights.safetensors")
    done = nas(*GROUPS, tmp_path / "elastic")
    refused(done, "holds a supernet of kind elastic, --kind asks for groups")


def test_options_that_say_nothing_and_images_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    train = ("supernet", "train", "--quiet", "--out", tmp_path / "new")
    refused(nas(*train, "--groups", 4), "--groups is for --kind groups, this is elastic")
    refused(nas(*train, "--exits-only"), "--exits-only is for a finished supernet of --kind elas")
    ratios = (*train, "--kind", "all-in-one", "--levels", "all")
    refused(nas(*ratios), "--levels is for --for-device, which is not given")
    refused(nas(*train, "--start", "resnet-cifar10"), "takes images of 3 channels, --data has 1")
    save_supernet(supernet(), tmp_path / "made" / "weights.safetensors")
    start = (*train, "--start", tmp_path / "made")
    refused(nas(*start, "--resolution", 28), "--resolution must be 8, got 28")
    replaced = nas(*train[:-1], tmp_path / "made", "--start", tmp_path / "made")
    refused(replaced, "holds a supernet that training would replace")
    save_supernet(supernet(), tmp_path / "made" / "weights.safetensors", epochs_done=1)
    replaced = nas(*train[:-1], tmp_path / "made", "--start", tmp_path / "made")
    refused(replaced, "--out is the folder of --start")


def test_two_trainings_do_not_write_one_folder(tmp_path: Path) -> None:
    with exclusive(tmp_path, "training"):
        done = nas("supernet", "train", "--quiet", "--out", tmp_path)
    refused(done, f"another training is running in {tmp_path}; wait for it or choose another --out")
