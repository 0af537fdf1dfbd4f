"""A trained supernet as one safetensors file: weights, space, data set, history."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from search_spaces import InputError, space_from_dict, write_bytes
from search_spaces.checkpoint import read_checkpoint, with_checksums
from supernets.catalog import KINDS, build_supernet
from supernets.static import channels_last
from supernets.supernet import Supernet

SCHEMA = "nas.supernet/1"
BEGUN = {"dense": "all-in-one", "masks": "all-in-one", "group1": "groups"}
"""The kinds of runs that begin in a folder of their own."""


class CheckpointError(InputError):
    """A checkpoint cannot be used; the message says why and what to do."""


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> None:
    """Write a safetensors file beside `path` and rename it; `metadata` becomes one JSON string.

    Checksums are added to it, by which a damaged file is known.
    """
    whole = {k: v.contiguous() for k, v in tensors.items()}
    described = with_checksums(metadata, save(whole))
    data = save(whole, {"json": json.dumps(described)})
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, data)


def read_tensors(path: Path, schema: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and metadata of a file of ours; CheckpointError for anything else.

    A truncated file, one with a flipped bit and a file of another kind are refused by name.
    """
    try:
        data, metadata = read_checkpoint(path, schema)
        return load(data), metadata
    except InputError as error:
        raise CheckpointError(str(error)) from None
    except (SafetensorError, ValueError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path} is no readable safetensors file: {error}") from None


def save_supernet(supernet: Supernet, path: Path, *, half: bool = False, **metadata: Any) -> None:
    """Write weights (fp16 when `half`; bytes stay bytes), space and `metadata` to `path`."""
    state = {k: v.detach() for k, v in supernet.state_dict().items()}
    tensors = {k: v if v.dtype == torch.uint8 else _stored(v, half) for k, v in state.items()}
    about = {"kind": supernet.kind, "space": supernet.space.to_dict()}
    described = {"schema": SCHEMA, **about, **metadata}
    write_tensors(path, tensors, described)


def _stored(values: Tensor, half: bool) -> Tensor:
    """In fp16 if `half`, unless it has no such numbers: variances of pixels up to 255."""
    small = values.half() if half else values.float()
    return values.float() if half and small.isinf().any() else small


def load_supernet(path: Path | str) -> tuple[Supernet, dict[str, Any]]:
    """The supernet of a checkpoint in eval mode, float32, and its metadata.

    `path` is the file of weights, or the folder that has it as `weights.safetensors`.
    CheckpointError: the file is absent, truncated, of another schema or of another space.
    """
    path = Path(path) / "weights.safetensors" if Path(path).is_dir() else Path(path)
    tensors, metadata = read_tensors(path, SCHEMA)
    if any(name.startswith("masks.") for name in tensors):
        raise CheckpointError(
            f"{path} holds masks that are being learned, no supernet yet: `nas supernet train` "
            f"goes on with them, and the supernet comes to be in {path.parent.parent}"
        )
    space = space_from_dict(metadata["space"])
    try:
        supernet = build_supernet(space)
    except InputError as error:
        raise CheckpointError(f"{path}: {error}") from None
    try:
        supernet.load_state_dict({k: v.float() for k, v in tensors.items()})
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:300]
        raise CheckpointError(f"{path} does not fit its space: {reason}") from None
    return channels_last(supernet).eval(), metadata


def check_kind(path: Path, kind: str) -> None:
    """InputError where `kind` is unknown, or training into `path` would lose a supernet there.

    That is one of another kind, or one that was never trained: wrapped, imported.
    """
    if kind not in KINDS:
        raise InputError(f"`kind` must be one of {', '.join(KINDS)}, got {kind!r}")
    if not path.exists():
        _check_begun(path.parent, kind)
        return
    _, metadata = read_tensors(path, SCHEMA)
    found = metadata.get("kind", "elastic")  # older files do not say it
    if found != kind:
        raise CheckpointError(
            f"{path} holds a supernet of kind {found}, `kind` asks for {kind}; give `kind` {found} "
            "or another folder"
        )
    if "epochs_done" not in metadata:
        raise CheckpointError(
            f"{path} holds a supernet that training would replace: give it as `start`, and "
            "another `out`"
        )


def _check_begun(folder: Path, kind: str) -> None:
    for name, found in BEGUN.items():
        if (folder / name / "training.safetensors").exists() and kind != found:
            raise CheckpointError(
                f"{folder} holds a training run of kind {found}, `kind` asks for {kind}; give "
                f"`kind` {found} or another folder"
            )


def sha256(path: Path) -> str:
    """The checksum by which weights, tables and predictors know each other."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
