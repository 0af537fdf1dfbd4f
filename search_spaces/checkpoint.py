"""What a file of weights says of itself, and whether it is whole: read without torch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from search_spaces.errors import InputError
from search_spaces.files import json_sha256
from search_spaces.outside import json_object, read_tensor_file

__all__ = ["read_checkpoint", "with_checksums"]

SUPERNET = "nas.supernet/1"
CONTENT, HEADER = "content_sha256", "header_sha256"


def read_checkpoint(path: Path, schema: str = SUPERNET) -> tuple[bytes, dict[str, Any]]:
    """The bytes of a safetensors file of ours, and its metadata; InputError for anything else.

    A truncated file, one with a flipped bit and a file of another kind are refused by name.
    """
    try:
        data = read_tensor_file(path)  # its InputError names the file
    except FileNotFoundError:
        raise InputError(f"{path} does not exist") from None
    except OSError as error:
        reason = error.strerror or error
        raise InputError(f"{path} is no readable safetensors file: {reason}") from None
    try:
        header = _header(data)
        metadata = json_object(header.pop("__metadata__", {}).get("json", "{}"), "its metadata")
        digest = metadata.pop(CONTENT, None)
    except (ValueError, TypeError, AttributeError) as error:
        raise InputError(f"{path} is no readable safetensors file: {error}") from None
    if metadata.get("schema") != schema:
        raise InputError(f"{path} has schema {metadata.get('schema')!r}, expected {schema!r}")
    whole = digest == _digest(metadata, data)
    names = metadata.pop(HEADER, None)  # older files have none
    if not whole or names not in (None, json_sha256(header)):
        raise InputError(
            f"{path} is damaged: its content does not have the checksum that was written with it; "
            "fetch or make it again"
        )
    return data, metadata


def with_checksums(metadata: Mapping[str, Any], data: bytes) -> dict[str, Any]:
    """`metadata` with those of the safetensors file `data`, which has no metadata yet.

    First that of the names, shapes and places of its tensors, then that of all of it.
    """
    told = {**metadata, HEADER: json_sha256(_header(data))}
    return {**told, CONTENT: _digest(told, data)}


def _header(data: bytes) -> dict[str, Any]:
    """What a safetensors file says of its tensors, and its metadata."""
    return json_object(data[8 : _start(data)], "its header")


def _digest(metadata: Mapping[str, Any], data: bytes) -> str:
    """Checksum of the metadata and of the tensors in the safetensors file `data`."""
    return hashlib.sha256(json.dumps(metadata).encode() + data[_start(data) :]).hexdigest()


def _start(data: bytes) -> int:
    """Where the tensors begin: behind eight bytes that hold the length of the header."""
    return 8 + int.from_bytes(data[:8], "little")
