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

from search_spaces import (
    InputError,
    json_object,
    json_sha256,
    read_tensor_file,
    space_from_dict,
    write_bytes,
)
from supernets.catalog import KINDS, build_supernet
from supernets.static import channels_last
from supernets.supernet import Supernet

SCHEMA = "nas.supernet/1"
HEADER = "header_sha256"


class CheckpointError(InputError):
    """A checkpoint cannot be used; the message says why and what to do."""


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> None:
    """Write a safetensors file beside `path` and rename it; `metadata` becomes one JSON string.

    `content_sha256` is added to it, the checksum of all tensors and of the rest of the metadata,
    and before it `header_sha256`, that of their names, shapes and places.
    """
    whole = {k: v.contiguous() for k, v in tensors.items()}
    plain = save(whole)
    told = {**metadata, HEADER: json_sha256(_header(plain))}
    described = {**told, "content_sha256": _digest(told, plain)}
    data = save(whole, {"json": json.dumps(described)})
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, data)


def read_tensors(path: Path, schema: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and metadata of a file of ours; CheckpointError for anything else.

    A truncated file, one with a flipped bit and a file of another kind are refused by name.
    """
    try:
        data = read_tensor_file(path)
        tensors = load(data)
        header = _header(data)
        metadata = json_object(header.pop("__metadata__", {}).get("json", "{}"), path)
        digest = metadata.pop("content_sha256", None)
    except FileNotFoundError:
        raise CheckpointError(f"{path} does not exist") from None
    except (SafetensorError, OSError, ValueError, TypeError, AttributeError, InputError) as error:
        raise CheckpointError(f"{path} is no readable safetensors file: {error}") from None
    if metadata.get("schema") != schema:
        raise CheckpointError(f"{path} has schema {metadata.get('schema')!r}, expected {schema!r}")
    whole = digest == _digest(metadata, data)
    names = metadata.pop(HEADER, None)  # older files have none
    if not whole or names not in (None, json_sha256(header)):
        raise CheckpointError(
            f"{path} is damaged: its content does not have the checksum that was written with it; "
            "fetch or make it again"
        )
    return tensors, metadata


def _header(data: bytes) -> dict[str, Any]:
    """What a safetensors file says of its tensors, and its metadata."""
    return json_object(data[8 : _start(data)], "the header")


def _start(data: bytes) -> int:
    """Where the tensors begin: behind eight bytes that hold the length of the header."""
    return 8 + int.from_bytes(data[:8], "little")


def _digest(metadata: Mapping[str, Any], data: bytes) -> str:
    """Checksum of the metadata and of the tensors in the safetensors file `data`."""
    return hashlib.sha256(json.dumps(metadata).encode() + data[_start(data) :]).hexdigest()


def save_supernet(supernet: Supernet, path: Path, *, half: bool = False, **metadata: Any) -> None:
    """Write weights (fp16 when `half`), space and `metadata` to `path`."""
    dtype = torch.float16 if half else torch.float32
    tensors = {k: v.detach().to(dtype) for k, v in supernet.state_dict().items()}
    about = {"kind": supernet.kind, "space": supernet.space.to_dict()}
    described = {"schema": SCHEMA, **about, **metadata}
    write_tensors(path, tensors, described)


def load_supernet(path: Path) -> tuple[Supernet, dict[str, Any]]:
    """The supernet of a checkpoint in eval mode, float32, and its metadata.

    CheckpointError: the file is absent, truncated, of another schema or of another space.
    """
    tensors, metadata = read_tensors(path, SCHEMA)
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
    """InputError where `kind` is unknown, or the supernet in `path`, if any, is of another one."""
    if kind not in KINDS:
        raise InputError(f"`kind` must be one of {', '.join(KINDS)}, got {kind!r}")
    if not path.exists():
        return
    _, metadata = read_tensors(path, SCHEMA)
    found = metadata.get("kind", "elastic")  # older files do not say it
    if found != kind:
        raise CheckpointError(
            f"{path} holds a supernet of kind {found}, `kind` asks for {kind}; give `kind` {found} "
            "or another folder"
        )


def sha256(path: Path) -> str:
    """The checksum by which weights, tables and predictors know each other."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
