"""Profiles by name: those that ship with the project, your own folder, any TOML file."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator, Sequence
from importlib.resources import files
from os import PathLike
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from nas.devices.faults import default_faults, plain_fault
from nas.devices.names import nearest
from nas.devices.profile import Profile
from search_spaces import InputError, read_text

OURS = Path(str(files("nas.devices"))) / "profiles"
EXAMPLE = "xavier-nx"  # the profile of ours that faults are shown by: it has every table
MAX_BYTES = 1 << 20  # of a profile; ours have some thousand
FOLDER = "NAS_DEVICES"  # environment variable: a folder with profiles of your own


def profile_paths() -> dict[str, Path]:
    """File of every profile by name; one in your own folder replaces ours of the same name."""
    folders = [OURS]
    if own := os.environ.get(FOLDER):
        if not Path(own).is_dir():
            raise InputError(f"{FOLDER} is {own}, which is no folder; set it to one or unset it")
        folders.append(Path(own))
    found = {path.stem: path for folder in folders for path in folder.glob("*.toml")}
    return dict(sorted(found.items()))


def profile_names() -> list[str]:
    """Names that `load_profile` knows."""
    return list(profile_paths())


def is_profile(name: str) -> bool:
    """Whether `load_profile` takes `name`: that of a profile, or a `.toml` file."""
    return name.endswith(".toml") or name in profile_names()


def load_profile(name: str | PathLike[str]) -> Profile:
    """The profile called `name`, or the one in a `.toml` file, which is called as its file.

    InputError names all faults of the file.
    """
    name = str(name)
    if name.endswith(".toml"):
        return _read(Path(name))
    known = profile_paths()
    if name == "host" and name not in known:
        raise InputError(
            "`device` host is this machine, which has no profile: name one that `nas devices` lists"
        )
    if name not in known:
        raise unknown_device(name, ["host", *known])
    return _read(known[name])


def _read(path: Path) -> Profile:
    text, values = _values(path)
    faults = list(_name_fault(path, values.get("name")))
    try:
        profile = Profile.model_validate(values, context={"text": text})
    except ValidationError as error:
        _, ours = _values(OURS / f"{EXAMPLE}.toml")
        found = error.errors()
        faults += [plain_fault(fault, ours) for fault in found]
        if any(fault["loc"] for fault in found):  # else the profile as a whole was looked at
            faults += default_faults(values)
    if faults:
        raise InputError(f"device profile {path}: {'; '.join(faults)}")
    return profile


def _values(path: Path) -> tuple[str, dict[str, Any]]:
    """Text and values of a file."""
    if not path.exists():
        raise InputError(f"device profile {path} does not exist")
    try:
        text = read_text(path, limit=MAX_BYTES)
        return text, tomllib.loads(text)
    except (InputError, ValueError, RecursionError) as error:
        raise InputError(f"device profile {path} is no readable TOML: {error}") from None


def _name_fault(path: Path, name: object) -> Iterator[str]:
    """A name that is not the file's: results would be labelled with another board."""
    if isinstance(name, str) and name != path.stem:
        yield f"has the name {name!r}; name it as the file ({path.stem}), or the file as it"


def unknown_device(name: str, known: Sequence[str]) -> InputError:
    """The error that names what could have been meant."""
    near = nearest(name, known, n=3)
    meant = f"did you mean {', '.join(near)}? " if near else ""
    return InputError(
        f"unknown device {name!r}; {meant}`nas devices` lists them all; `device` may be a "
        f"FILE.toml of your own too, and {FOLDER} a folder of them"
    )
