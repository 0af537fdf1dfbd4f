"""The tensors of a foreign checkpoint of once-for-all, whatever a training script put around them.

Nothing in the file is executed.
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

from search_spaces import InputError, read_tensor_file
from supernets.checkpoint import CheckpointError

WRAPPERS = (  # what training scripts save weights under; averaged ones first, as timm reads them
    *("state_dict_ema", "model_ema", "ema_state_dict", "ema", "params_ema", "shadow"),
    *("state_dict", "model_state_dict", "model", "net", "network", "module", "params"),
)
MAX_BYTES = 1 << 32
MAX_WRAPS = 4
FIRST = ("first_conv.conv.weight", "input_stem.0.conv.weight")  # a layer of each family
COUNTERS = ("num_batches_tracked", "n_averaged", "total_ops", "total_params")  # no weights
SHELLS = r"_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module"  # layers put around layers


def read_foreign(path: Path) -> dict[str, Tensor]:
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
        keys = f" of {few(list(map(str, found)))}" if isinstance(found, Mapping) else ""
        raise CheckpointError(
            f"{path} holds a {type(found).__name__}{keys}, expected a state dict; save that alone"
        )
    state = {str(key): v for key, v in found.items() if not str(key).endswith(COUNTERS)}
    bare = _unprefixed(path, state)
    plain = {plain_key(key): value.float() for key, value in bare.items()}
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
    return any(plain_key(str(key)).endswith(FIRST) for key in state)


def _unprefixed(path: Path, state: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """The network's keys without what is in front of all of them.

    That is what DataParallel, `torch.compile`, an averaged model or a trainer's object puts there;
    what does not belong to the network then (a loss with weights) is left out.
    """
    plain = {re.sub(rf"(^|(?<=\.))(({SHELLS})\.)+", "", key): v for key, v in state.items()}
    ends = [(plain_key(key), end) for key in plain for end in FIRST]
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


def plain_key(key: str) -> str:
    """One spelling for OFA's dialects: `mobile_inverted_conv`, and doubled names of its layers."""
    key = key.replace(".mobile_inverted_conv.", ".conv.")
    return re.sub(r"\.(conv|bn|linear)(\.\1)+\.", r".\1.", key)


def few(keys: list[str]) -> str:
    """The first of them, for a message."""
    return ", ".join(keys[:3]) + (", ..." if len(keys) > 3 else "")
