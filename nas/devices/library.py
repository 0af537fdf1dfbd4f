"""Profiles by name: those that ship with the project, your own folder, any TOML file."""

from __future__ import annotations

import difflib
import os
import tomllib
from importlib.resources import files
from pathlib import Path

from pydantic import ValidationError

from nas.devices.profile import Profile
from search_spaces import InputError

FOLDER = "NAS_DEVICES"  # environment variable: a folder with profiles of your own


def profile_paths() -> dict[str, Path]:
    """File of every profile by name; one in your own folder replaces ours of the same name."""
    folders = [Path(str(files("nas.devices"))) / "profiles"]
    if own := os.environ.get(FOLDER):
        if not Path(own).is_dir():
            raise InputError(f"{FOLDER} is {own}, which is no folder; set it to one or unset it")
        folders.append(Path(own))
    found = {path.stem: path for folder in folders for path in folder.glob("*.toml")}
    return dict(sorted(found.items()))


def profile_names() -> list[str]:
    """Names that `load_profile` knows."""
    return list(profile_paths())


def load_profile(name: str) -> Profile:
    """The profile called `name`, or the one in a `.toml` file. InputError names all its faults."""
    path = Path(name)
    if path.suffix == ".toml":
        return _read(path)
    known = profile_paths()
    if name not in known:
        raise unknown_device(name)
    profile = _read(known[name])
    if profile.name != name:
        raise InputError(
            f"device profile {known[name]} has the name {profile.name!r}; name it as the file"
        )
    return profile


def _read(path: Path) -> Profile:
    try:
        text = path.read_text(encoding="utf-8")
        return Profile.model_validate(tomllib.loads(text), context={"text": text})
    except FileNotFoundError:
        raise InputError(f"device profile {path} does not exist") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"device profile {path} is no readable TOML: {error}") from None
    except ValidationError as error:
        raise InputError(f"device profile {path}: {_faults(error)}") from None


def _faults(error: ValidationError) -> str:
    """Every fault as `field: what is wrong`, on one line."""
    shown = []
    for fault in error.errors():
        where = ".".join(map(str, fault["loc"]))
        message = fault["msg"].removeprefix("Value error, ")
        if fault["type"] == "extra_forbidden":
            message = "is no known key: remove it or correct its spelling"
        if fault["type"] == "missing":
            message = "is missing: add it"
        shown.append(f"{where}: {message}" if where else message)
    return "; ".join(shown)


def unknown_device(name: str) -> InputError:
    """The error that names what could have been meant."""
    known = ["host", *profile_names()]
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.4) or known
    return InputError(
        f"unknown device {name!r}; did you mean {', '.join(near)}? `nas devices` lists them all, "
        f"`device` FILE.toml takes your own, {FOLDER} a folder of them"
    )
