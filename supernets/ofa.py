"""Weights of the public `ofa` package (MIT, github.com/mit-han-lab/once-for-all) in our supernets.

Read strictly: upstream's own loader leaves layers at their initial values where keys are missing.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from search_spaces import (
    InputError,
    MobileNetV3Space,
    OnceForAllSpace,
    ProxylessNASSpace,
    ResNet50Space,
    json_object,
    read_text,
)
from supernets.catalog import build_supernet
from supernets.checkpoint import CheckpointError
from supernets.ofa_file import few, plain_key, read_foreign
from supernets.static import channels_last
from supernets.supernet import Supernet

_GITHUB = "https://raw.githubusercontent.com/han-cai/files/master/ofa/ofa_nets/"
OFFICIAL = {
    "ofa_mbv3_d234_e346_k357_w1.0": _GITHUB + "ofa_mbv3_d234_e346_k357_w1.0",
    "ofa_mbv3_d234_e346_k357_w1.2": _GITHUB + "ofa_mbv3_d234_e346_k357_w1.2",
    "ofa_proxyless_d234_e346_k357_w1.3": _GITHUB + "ofa_proxyless_d234_e346_k357_w1.3",
    "ofa_resnet50_d0-1-2_e0.2-0.25-0.35_w0.65-0.8-1.0": (
        "https://drive.google.com/uc?id=1xy6VIPEHXqbbqNu3xEZUxhp5FbTVs5cQ"
    ),
}
"""Checkpoints by the file names that `ofa.model_zoo.ofa_net` gives them, and where they are."""

DEFAULT_SIDE, MIN_SIDE, MAX_SIDE = 224, 32, 1024  # of a specialised network's images
CONFIG, RUN, INIT = "net.config", "run.config", "init"  # of a specialised network's folder

CACHES = (Path(".torch", "ofa_nets"), Path("~", ".torch", "ofa_nets"))  # of ofa.model_zoo

# Our modules -> theirs; "block" is a block of a stage, "head" the final classifier.
_MOBILENETV3 = {
    "stem": "first_conv.conv",
    "stem_norm": "first_conv.bn",
    "first.depthwise": "blocks.0.conv.depth_conv.conv",
    "first.depthwise_norm": "blocks.0.conv.depth_conv.bn",
    "first.project": "blocks.0.conv.point_linear.conv",
    "first.project_norm": "blocks.0.conv.point_linear.bn",
    "block.expand": "blocks.{}.conv.inverted_bottleneck.conv.conv",
    "block.expand_norm": "blocks.{}.conv.inverted_bottleneck.bn.bn",
    "block.depthwise": "blocks.{}.conv.depth_conv.conv.conv",
    "block.depthwise.transforms": "blocks.{}.conv.depth_conv.conv",
    "block.depthwise_norm": "blocks.{}.conv.depth_conv.bn.bn",
    "block.squeeze.reduce": "blocks.{}.conv.depth_conv.se.fc.reduce",
    "block.squeeze.expand": "blocks.{}.conv.depth_conv.se.fc.expand",
    "block.project": "blocks.{}.conv.point_linear.conv.conv",
    "block.project_norm": "blocks.{}.conv.point_linear.bn.bn",
    "head.conv": "final_expand_layer.conv",
    "head.norm": "final_expand_layer.bn",
    "head.mix": "feature_mix_layer.conv",
    "head.linear": "classifier.linear",
}
_PROXYLESS = {
    **{key: theirs for key, theirs in _MOBILENETV3.items() if not key.startswith("head.")},
    "head.conv": "feature_mix_layer.conv",
    "head.norm": "feature_mix_layer.bn",
    "head.linear": "classifier.linear",
}
_RESNET50 = {
    "stem.conv1": "input_stem.0.conv.conv",
    "stem.norm1": "input_stem.0.bn.bn",
    "stem.conv2": "input_stem.1.conv.conv.conv",
    "stem.norm2": "input_stem.1.conv.bn.bn",
    "stem.conv3": "input_stem.2.conv.conv",
    "stem.norm3": "input_stem.2.bn.bn",
    "block.project": "blocks.{}.downsample.conv.conv",
    "block.project_norm": "blocks.{}.downsample.bn.bn",
    **{f"block.conv{i}": f"blocks.{{}}.conv{i}.conv.conv" for i in (1, 2, 3)},
    **{f"block.norm{i}": f"blocks.{{}}.conv{i}.bn.bn" for i in (1, 2, 3)},
    "head.linear": "classifier.linear.linear",
}
_PLAIN_STEM = {  # of a specialised ResNet50 whose stem has no residual block
    "stem.conv3": "input_stem.1.conv.conv",
    "stem.norm3": "input_stem.1.bn.bn",
}
LAYERS: dict[type[OnceForAllSpace], tuple[dict[str, str], int]] = {
    MobileNetV3Space: (_MOBILENETV3, 1),
    ProxylessNASSpace: (_PROXYLESS, 1),
    ResNet50Space: (_RESNET50, 0),
}
"""By family: the names of the layers, and the number of the first block of a stage."""


def locate(source: str) -> Path:
    """The checkpoint of a path, of a specialised network's folder, or of an official name in OFA's
    cache.

    InputError: there is neither; for an official name it says what to fetch.
    """
    if (Path(source) / CONFIG).is_file():
        return Path(source) / INIT
    names = [name for name in OFFICIAL if name.startswith(source)]
    folders = [Path(os.path.expanduser(folder)) for folder in CACHES]  # also without a home
    for path in (Path(source), *(folder / name for name in names for folder in folders)):
        if path.is_file():
            return path
    if len(names) == 1:
        raise InputError(
            f"{names[0]} is not in {' or '.join(map(str, CACHES))}: save {OFFICIAL[names[0]]} as "
            f"{names[0]} and run `nas supernet import {names[0]} --out DIR` there"
        )
    raise InputError(
        f"{source} is neither a file nor one official checkpoint ({', '.join(OFFICIAL)})"
    )


def load_ofa(path: Path) -> Supernet:
    """The supernet of a once-for-all checkpoint in eval mode; nothing in the file is executed.

    Weights of a specialised network have its `net.config` beside them, and their space is that
    subnet alone.
    CheckpointError: no tensors alone, another family, missing or unexpected keys, wrong shapes,
    values that are not finite.
    """
    state = read_foreign(path)
    supernet = build_supernet(_space(path, state))
    ours = {plain_key(theirs): key for key, theirs in ofa_keys(supernet).items()}
    tensors = supernet.state_dict()
    wanted = {theirs: tensors[key].shape for theirs, key in ours.items()}
    faults = {
        "missing": [key for key in wanted if key not in state],
        "unexpected": [key for key in state if key not in wanted],
        "of another shape": [k for k in wanted if k in state and state[k].shape != wanted[k]],
        "not finite": [k for k, v in state.items() if not v.isfinite().all()],
    }
    if any(faults.values()):
        found = "; ".join(f"{len(v)} {what}: {few(v)}" for what, v in faults.items() if v)
        raise CheckpointError(
            f"{path} does not fit {supernet.space.name}: {found}; "
            f"import the complete network as `ofa` saved it, a specialised one with its {CONFIG}"
        )
    supernet.load_state_dict({ours[key]: value for key, value in state.items()}, strict=False)
    return channels_last(supernet).eval()


def ofa_keys(supernet: Supernet) -> dict[str, str]:
    """Our key -> OFA's for every tensor; early exits are not in OFA and have none."""
    space = supernet.space
    assert isinstance(space, OnceForAllSpace)
    layers, first_block = LAYERS[type(space)]
    kept = space.subnet(space.only)["d"] if space.only else ()  # its blocks are numbered as kept
    state = supernet.state_dict()
    if isinstance(space, ResNet50Space) and "stem.conv2.weight" not in state:
        layers = layers | _PLAIN_STEM
    keys = {}
    for key in state:
        module, leaf = key.rsplit(".", 1)
        module = module.replace(f"heads.{space.n_exits}.", "head.")
        number = first_block
        if block := re.match(r"stages\.(\d+)\.(\d+)\.", module):
            stage, slot = int(block[1]), int(block[2])
            before = sum(kept[:stage]) if kept else space.first_slot(stage)
            number += before + slot
            module = "block." + module[block.end() :]
        if module in layers:
            leaf += "_matrix" if module.endswith("transforms") else ""
            keys[key] = f"{layers[module].format(number)}.{leaf}"
    return keys


def to_ofa_state_dict(supernet: Supernet) -> dict[str, Tensor]:
    """The weights under OFA's keys, for `OFAMobileNetV3.load_state_dict` and its like."""
    state = supernet.state_dict()
    return {theirs: state[key] for key, theirs in ofa_keys(supernet).items()}


def _space(path: Path, state: Mapping[str, Tensor]) -> OnceForAllSpace:
    """The family and width that the shapes tell; of a specialised network the subnet too."""
    space = _family(path, state)
    if any(key.endswith("_matrix") for key in state):
        return space
    config, run = path.with_name(CONFIG), path.with_name(RUN)
    if not config.is_file():
        if isinstance(space, ResNet50Space):
            return space
        raise CheckpointError(
            f"{path} is one specialised network (it has no matrices from kernel to kernel): put "
            f"its {CONFIG} beside it"
        )
    told = json_object(read_text(config), config)
    sizes = json_object(read_text(run), run) if run.is_file() else told
    side = sizes.get("image_size") or sizes.get("resolution") or DEFAULT_SIDE
    if not isinstance(side, int) or not MIN_SIDE <= side <= MAX_SIDE:
        raise CheckpointError(f"{run}: image_size must be {MIN_SIDE} to {MAX_SIDE}, got {side!r}")
    space = space.with_resolutions([side])
    return space.specialised(space.from_ofa({**told, "image_size": side}))


def _family(path: Path, state: Mapping[str, Tensor]) -> OnceForAllSpace:
    n_classes = len(state.get("classifier.linear.bias", ()))
    if n_classes and "final_expand_layer.conv.weight" in state:
        width = len(state["final_expand_layer.conv.weight"]) / 960
        return MobileNetV3Space(n_classes=n_classes, width_mult=width)
    if n_classes and "input_stem.0.conv.weight" in state:
        return ResNet50Space(n_classes=n_classes)
    if n_classes and "feature_mix_layer.conv.weight" in state:
        width = len(state["feature_mix_layer.conv.weight"]) / 1280
        return ProxylessNASSpace(n_classes=n_classes, width_mult=width)
    raise CheckpointError(
        f"{path} is no once-for-all MobileNetV3, ProxylessNAS or ResNet50: its {len(state)} keys "
        "begin with "
        f"{few(list(state))}"
    )
