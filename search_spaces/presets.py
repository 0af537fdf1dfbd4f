"""Preset networks of once-for-all: `net.config`, a list of layers, as a configuration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from search_spaces.errors import InputError

Config = Mapping[str, Any]


def is_preset(config: Config) -> bool:
    """Whether a configuration lists layers, as `ofa.imagenet_classification.networks` does."""
    return "blocks" in config


def preset_config(
    config: Config, family: str, widths: Sequence[int], slots: Sequence[int]
) -> dict[str, Any]:
    """`{ks, e, d}` of the `net.config` of a `family`; a `resolution` or `image_size` is kept.

    `widths` are the channels of the stages, by which blocks are told apart; `slots` the blocks that
    each can have. Entries of skipped blocks repeat the first one's.
    """
    _check_family(config, family)
    stages: list[list[Config]] = [[] for _ in widths]
    for i, layer in enumerate(_blocks(config)[1:], start=1):  # the first belongs to the stem
        width = layer.get("out_channels")
        if width not in widths:
            raise InputError(
                f"blocks[{i}] of net.config has {width!r} output channels; the stages of this "
                f"space have {', '.join(map(str, widths))}"
            )
        stages[widths.index(width)].append(layer)
    kernels, ratios = [], []
    for s, blocks in enumerate(stages):
        if not 0 < len(blocks) <= slots[s]:
            raise InputError(
                f"net.config has {len(blocks)} blocks of {widths[s]} channels, "
                f"expected 1 to {slots[s]}"
            )
        padded = [*blocks, *[blocks[0]] * (slots[s] - len(blocks))]
        kernels += [block.get("kernel_size") for block in padded]
        ratios += [_ratio(block) for block in padded]
    found = {"ks": kernels, "e": ratios, "d": [len(blocks) for blocks in stages]}
    return found | _image_size(config)


def resnet_config(
    config: Config,
    widths: Sequence[Sequence[int]],
    base_depths: Sequence[int],
    extra_depths: Sequence[int],
) -> dict[str, Any]:
    """`{d, e, w}` of the `net.config` of a ResNet50; a `resolution` or `image_size` is kept.

    `widths` are the channels to choose from: inside the stem, behind it, of each stage. A stage has
    its `base_depths` and one of `extra_depths` more; the stem's residual block is there or not.
    """
    _check_family(config, "ResNets")
    stem, blocks = (_layers(config, key) for key in ("input_stem", "blocks"))
    if len(stem) not in (2, 3):
        raise InputError(f"input_stem of net.config must be 2 or 3 layers, got {len(stem)}")
    stages, extra, ratios = _resnet_stages(blocks, len(base_depths)), [], []
    for s, (stage, base) in enumerate(zip(stages, base_depths, strict=True)):
        extra.append(len(stage) - base)
        if extra[-1] not in extra_depths:
            allowed = ", ".join(str(base + more) for more in extra_depths)
            raise InputError(f"stage {s} of net.config has {len(stage)} blocks, not {allowed}")
        padded = [*stage, *[stage[0]] * (base + max(extra_depths) - len(stage))]
        ratios += [block.get("expand_ratio") for block in padded]
    found = [layer.get("out_channels") for layer in (stem[0], stem[-1], *(s[0] for s in stages))]
    for width, choices in zip(found, widths, strict=True):
        if width not in choices:
            raise InputError(
                f"net.config has a layer of {width!r} channels, expected one of "
                f"{', '.join(map(str, sorted(set(choices))))}"
            )
    indices = [choices.index(width) for width, choices in zip(found, widths, strict=True)]
    residual = max(extra_depths) if len(stem) == 3 else min(extra_depths)
    return {"d": [residual, *extra], "e": ratios, "w": indices} | _image_size(config)


def _resnet_stages(blocks: Sequence[Config], n_stages: int) -> list[list[Config]]:
    """Blocks by stage: each begins with one that changes the channels."""
    stages: list[list[Config]] = []
    for block in blocks:
        if not stages or block.get("in_channels") != block.get("out_channels"):
            stages.append([])
        stages[-1].append(block)
    if len(stages) != n_stages:
        raise InputError(f"blocks of net.config make {len(stages)} stages, expected {n_stages}")
    return stages


def _check_family(config: Config, family: str) -> None:
    """InputError: the layers are those of another family."""
    if config.get("name") != family:
        raise InputError(
            f"a net.config of {config.get('name')!r} is not read here, only {family}'s; name the "
            "space that it belongs to"
        )


def _image_size(config: Config) -> dict[str, Any]:
    """The side of the images, where a file says it by one of its names."""
    sizes = (config.get(key) for key in ("image_size", "resolution", "r"))
    size = next((value for value in sizes if value is not None), None)
    return {} if size is None else {"image_size": size}


def _layers(config: Config, key: str) -> list[Config]:
    layers = config.get(key)
    if not isinstance(layers, list) or not all(isinstance(layer, Mapping) for layer in layers):
        raise InputError(f"{key} of net.config must be a list of layers")
    return layers


def _blocks(config: Config) -> list[Config]:
    blocks = config["blocks"]
    layers = [
        block.get("mobile_inverted_conv") or block.get("conv")
        if isinstance(block, Mapping)
        else None
        for block in (blocks if isinstance(blocks, list) else [])
    ]
    if not layers or not all(isinstance(layer, Mapping) for layer in layers):
        raise InputError("blocks of net.config must be a list, each with mobile_inverted_conv")
    return [layer for layer in layers if isinstance(layer, Mapping)]


def _ratio(layer: Config) -> Any:
    """`expand_ratio`, else the one that `mid_channels` make."""
    if layer.get("expand_ratio") is not None:
        return layer["expand_ratio"]
    mid, width = layer.get("mid_channels"), layer.get("in_channels")
    if not isinstance(mid, int) or not isinstance(width, int) or width < 1:
        return None
    return round(mid / width)
