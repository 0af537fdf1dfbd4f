"""Weights of the public `ofa` package (MIT, github.com/mit-han-lab/once-for-all) in our supernets.

Read strictly: upstream's own loader leaves layers at their initial values where keys are missing.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load
from torch import Tensor

from search_spaces import (
    InputError,
    MobileNetV3Space,
    OnceForAllSpace,
    ProxylessNASSpace,
    ResNet50Space,
    json_object,
    read_tensor_file,
    read_text,
)
from supernets.catalog import build_supernet
from supernets.checkpoint import CheckpointError
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

WRAPPERS = (  # what training scripts save weights under; averaged ones first, as timm reads them
    *("state_dict_ema", "model_ema", "ema_state_dict", "ema", "params_ema", "shadow"),
    *("state_dict", "model_state_dict", "model", "net", "network", "module", "params"),
)
MAX_BYTES = 1 << 32
DEFAULT_SIDE, MIN_SIDE, MAX_SIDE = 224, 32, 1024  # of a specialised network's images
MAX_WRAPS = 4
FIRST = ("first_conv.conv.weight", "input_stem.0.conv.weight")  # a layer of each family
COUNTERS = ("num_batches_tracked", "n_averaged", "total_ops", "total_params")  # no weights
SHELLS = r"_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module"  # layers put around layers

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
    folders = [folder.expanduser() for folder in CACHES]
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
    state = _read(path)
    supernet = build_supernet(_space(path, state))
    ours = {_plain(theirs): key for key, theirs in ofa_keys(supernet).items()}
    tensors = supernet.state_dict()
    wanted = {theirs: tensors[key].shape for theirs, key in ours.items()}
    faults = {
        "missing": [key for key in wanted if key not in state],
        "unexpected": [key for key in state if key not in wanted],
        "of another shape": [k for k in wanted if k in state and state[k].shape != wanted[k]],
        "not finite": [k for k, v in state.items() if not v.isfinite().all()],
    }
    if any(faults.values()):
        found = "; ".join(f"{len(v)} {what}: {_few(v)}" for what, v in faults.items() if v)
        raise CheckpointError(
            f"{path} does not fit {supernet.space.name}: {found}; "
            "import the complete network as `ofa` saved it"
        )
    supernet.load_state_dict({ours[key]: value for key, value in state.items()}, strict=False)
    return channels_last(supernet).eval()


def ofa_keys(supernet: Supernet) -> dict[str, str]:
    """Our key -> OFA's for every tensor; early exits are not in OFA and have none."""
    space = supernet.space
    assert isinstance(space, OnceForAllSpace)
    layers, first_block = LAYERS[type(space)]
    kept = space.subnet(space.only)["d"] if space.only else ()  # its blocks are numbered as kept
    keys = {}
    for key in supernet.state_dict():
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


def _read(path: Path) -> dict[str, Tensor]:
    """The tensors of a foreign file as float32 under plain keys, batch counters left out."""
    try:
        _check_plain(path)
        if _is_safetensors(path):
            found: Any = load(read_tensor_file(path))
        else:
            _check_archive(path)
            found = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise CheckpointError(f"{path} does not exist") from None
    except Exception as error:  # a foreign file can be wrong in any way
        if not path.is_file():
            raise CheckpointError(f"{path}: {error}") from None
        raise CheckpointError(
            f"{path} holds no plain tensors and was not executed: {_why(path, str(error))}"
        ) from None
    found = _unwrapped(found)
    if not isinstance(found, Mapping) or not all(isinstance(v, Tensor) for v in found.values()):
        keys = f" of {_few(list(map(str, found)))}" if isinstance(found, Mapping) else ""
        raise CheckpointError(
            f"{path} holds a {type(found).__name__}{keys}, expected a state dict; save that alone"
        )
    state = {str(key): v for key, v in found.items() if not str(key).endswith(COUNTERS)}
    bare = _unprefixed(path, state)
    plain = {_plain(key): value.float() for key, value in bare.items()}
    if len(plain) != len(bare):
        raise CheckpointError(f"{path} has the same layer under two keys")
    return plain


def _check_plain(path: Path) -> None:
    """InputError where nothing can be read, or too much."""
    if path.exists() and (not path.is_file() or path.stat().st_size > MAX_BYTES):
        raise InputError(f"it is no plain file, or larger than {MAX_BYTES >> 30} GiB")


def _check_archive(path: Path) -> None:
    """InputError where a file of torch is packed: torch stores tensors as they are."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            if any(part.compress_type != zipfile.ZIP_STORED for part in archive.infolist()):
                raise InputError("its parts are compressed, as torch never writes them")


def _unwrapped(found: Any) -> Any:
    """The state dict inside what a training script saved around it."""
    for _ in range(MAX_WRAPS):
        if isinstance(found, list) and all(isinstance(v, tuple) and len(v) == 2 for v in found):
            found = dict(found)
        if not isinstance(found, Mapping) or all(isinstance(v, Tensor) for v in found.values()):
            return found
        if _has_weights(found):  # beside them an epoch, an optimiser
            return {key: v for key, v in found.items() if isinstance(v, Tensor)}
        inner = [found[name] for name in WRAPPERS if isinstance(found.get(name), Mapping)]
        own = inner or [v for v in found.values() if isinstance(v, Mapping) and _has_weights(v)]
        if not inner and len(own) != 1:
            return found
        found = own[0]
    return found


def _has_weights(state: Mapping[Any, Any]) -> bool:
    """Whether a mapping itself holds a layer of a network that is read here."""
    return any(_plain(str(key)).endswith(FIRST) for key in state)


def _unprefixed(path: Path, state: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """The network's keys without what is in front of all of them.

    That is what DataParallel, `torch.compile`, an averaged model or a trainer's object puts there;
    what does not belong to the network then (a loss with weights) is left out.
    """
    plain = {re.sub(rf"(^|(?<=\.))(({SHELLS})\.)+", "", key): v for key, v in state.items()}
    ends = [(_plain(key), end) for key in plain for end in FIRST]
    found = {key.removesuffix(end) for key, end in ends if key.endswith(end)}
    prefixes = sorted(prefix for prefix in found if prefix == "" or prefix.endswith("."))
    if len(prefixes) > 1:
        named = ", ".join(prefix or "one without a name" for prefix in prefixes)
        raise CheckpointError(f"{path} holds several networks ({named}); save that of one")
    prefix = prefixes[0] if prefixes else ""
    return {k.removeprefix(prefix): v for k, v in plain.items() if k.startswith(prefix)}


def _why(path: Path, error: str) -> str:
    """Why a file cannot be read, without torch's advice to run what is in it."""
    with path.open("rb") as file:
        start = file.read(40)
    if needed := re.search(r"GLOBAL ([\w.]+)", error):
        return f"it needs {needed[1]}; save its state dict alone, tensors by name"
    if start.startswith(b"version https://git-lfs"):
        return "it is a pointer of Git LFS; fetch the file itself (`git lfs pull`)"
    if start.lstrip().startswith(b"<"):
        return "it is a page of the web, not the file; fetch it again"
    if not start:
        return "it is empty"
    if start.isascii() and start.decode("ascii").replace("\n", "").isprintable():
        return "it is a text"
    return "it is no file of `torch.save` or safetensors, or is damaged"


def _is_safetensors(path: Path) -> bool:
    with path.open("rb") as file:
        head = file.read(9)
    return len(head) == 9 and head[8:] == b"{" and int.from_bytes(head[:8], "little") < 1 << 27


def _plain(key: str) -> str:
    """One spelling for OFA's dialects: `mobile_inverted_conv`, and doubled names of its layers."""
    key = key.replace(".mobile_inverted_conv.", ".conv.")
    return re.sub(r"\.(conv|bn|linear)(\.\1)+\.", r".\1.", key)


def _space(path: Path, state: Mapping[str, Tensor]) -> OnceForAllSpace:
    """The family and width that the shapes tell; of a specialised network the subnet too."""
    space = _family(path, state)
    if not isinstance(space, MobileNetV3Space):
        if path.with_name(CONFIG).is_file():
            raise CheckpointError(
                f"{path} is one specialised ResNet50, which is not read: import the supernet that "
                "it was cut from, and give its d, e, w and image_size as a subnet"
            )
        return space
    if any(key.endswith("_matrix") for key in state):
        return space
    config, run = path.with_name(CONFIG), path.with_name(RUN)
    if not config.is_file():
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
        f"{_few(list(state))}"
    )


def _few(keys: list[str]) -> str:
    return ", ".join(keys[:3]) + (", ..." if len(keys) > 3 else "")
