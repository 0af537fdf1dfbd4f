"""`nas search --plan`: the rows to measure, and the commands that measure them and go on."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from nas.search import SearchSettings


def print_plan(settings: SearchSettings, plan: Path, log: Console) -> None:
    """Write the plan of a search; say how its rows are measured, and how the search gets them."""
    from nas.remote.device import RUNNER_OF
    from nas.search import plan_search, write_plan
    from nas.transfer.plan import plan_text
    from search_spaces import InputError, read_text

    rows = plan_search(settings)
    if plan.is_file() and read_text(plan) != plan_text(rows):
        raise InputError(
            f"`plan` {plan} is there with other content, perhaps figures that were filled in; "
            "name another file, or remove it"
        )
    write_plan(rows, plan)
    out = plan.with_name(f"measured-{plan.name}")
    said = f"{len(rows)} rows to measure in {plan}; measure them and search with them:"
    log.print(said, soft_wrap=True, markup=False)
    backends = dict.fromkeys((row["device"], row["backend"]) for row in rows)
    for device, (name, backend) in zip(settings.device_names, backends, strict=True):
        words = ["nas", "measure", "--device", device]
        if name != "host":
            words += ["--remote", "USER@BOARD"]
            words += [] if backend in RUNNER_OF else ["--backend", "onnxruntime"]
        _say([*words, "--of", str(plan), "--out", str(out)], log)
    _say(_with_rows(settings.command, out), log)


def _with_rows(command: str, rows: Path) -> list[str]:
    """The words of a search that wrote a plan, with its measured rows instead."""
    words = shlex.split(command)
    for i, word in enumerate(words):
        if word == "--plan" or word.startswith("--plan="):
            end = i + 1 + (word == "--plan")
            return [*words[:i], "--measurements", str(rows), *words[end:]]
    return [*words, "--measurements", str(rows)]


def _say(words: list[str], log: Console) -> None:
    log.print(shlex.join(words), soft_wrap=True, markup=False)
