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
    if config.get("name") != family:
        raise InputError(
            f"a net.config of {config.get('name')!r} is not read here, only {family}'s; give the "
            "subnet as a configuration, for example {'d': ..., 'e': ..., 'w': ...}"
        )
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
    sizes = (config.get(key) for key in ("image_size", "resolution", "r"))
    size = next((value for value in sizes if value is not None), None)
    found = {"ks": kernels, "e": ratios, "d": [len(blocks) for blocks in stages]}
    return found if size is None else found | {"image_size": size}


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
