"""Everything that hangs on the weights of the zoo's CIFAR-10 supernets, made again in one go.

    python benchmarks/zoo.py                                # list the steps and what is to do
    python benchmarks/zoo.py --data CIFAR --work runs/zoo   # do it; a rerun goes on where it was
    python benchmarks/zoo.py --data CIFAR --work runs/zoo --only table predictor

A step is skipped where each of its files names the checksum of what it was made from: the weights,
or the accuracy table that was made from them. Searches are made only where a step that reads them
is to do. `accuracy` wants published tables (`--hardware`), so it runs only where it is named;
`standalone` trains nothing, but puts the supernet beside networks that were trained alone before.
Temperatures are part of the table. Proxy rows are no step: what a network costs does not depend on
its weights. Nor are results that name no weights: `governor.py --tables`, `int8.py`, `bilevel.py`
and the benchmarks of the search itself, which say how they are made. The figures of a page in
`docs/` are text; the last line names the pages to read again.

Commands run in `--work`, where the images and the supernets have links, so that no file that ships
names a place of this machine.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from nas.devices import profile_names
from nas.files import sha256_of
from nas.zoo.folder import supernet_folder

ROOT = Path(__file__).parents[1]
RESULTS, DOCS = ROOT / "benchmarks" / "results", ROOT / "docs"
SAMPLES, BN_IMAGES, BN_SAMPLES = 500, 500, 80  # as in the card and in `bn.safetensors`
ALEXNET = "alexnet-g4-cifar10"
CHECKSUM = re.compile(rb"[0-9a-f]{64}")

Command = list[str] | Callable[[], None]


@dataclass(frozen=True)
class Step:
    """Files, what they were made from, and the commands that make them."""

    name: str
    makes: tuple[Path, ...]
    of: Path
    commands: tuple[Command, ...]
    serves: tuple[str, ...] = ()  # steps that alone read what it makes; none: of use by itself
    asked_only: bool = False

    def up_to_date(self) -> bool:
        """Whether each file is there and names the checksum of what it was made from."""
        wanted = sha256_of(self.of).encode() if self.of.exists() else b""
        return all(path.exists() and wanted in named(path) for path in self.makes)


def named(path: Path) -> set[bytes]:
    """Every SHA-256 that a file names: in JSON, a safetensors header, a page, a picture's text."""
    return set(CHECKSUM.findall(path.read_bytes()))


def run(steps: Sequence[Step], chosen: Sequence[str], work: Path = ROOT) -> list[str]:
    """Do what is to do, in `work`; names of the steps that were done. SystemExit: one failed."""
    done, environment = [], {**os.environ, "PYTHONPATH": str(ROOT)}  # of this tree
    asked = {step.name for step in steps if not step.asked_only} if not chosen else set(chosen)
    wanted = [step for step in steps if asked & {step.name, *step.serves}]
    for step in wanted:
        readers = [s for s in wanted if s.name in step.serves]
        if step.name not in chosen and step.serves and all(s.up_to_date() for s in readers):
            continue
        if step.up_to_date():
            print(f"{step.name}: up to date", flush=True)
            continue
        print(f"{step.name}: making {', '.join(path.name for path in step.makes)}", flush=True)
        start = time.perf_counter()
        for command in step.commands:
            if callable(command):
                command()
            elif subprocess.run(command, cwd=work, env=environment, check=False).returncode:
                raise SystemExit(f"step {step.name} failed: {' '.join(command)}")
        if not step.up_to_date():
            raise SystemExit(f"step {step.name} left files that do not name {step.of.name}")
        print(f"{step.name}: {(time.perf_counter() - start) / 60:.1f} minutes", flush=True)
        done.append(step.name)
    return done


def steps(
    folder: Path,
    data: str,
    work: Path,
    hardware: Path | None = None,
    devices: Sequence[str] = tuple(profile_names()),
) -> list[Step]:
    """All steps for the supernet in `folder`, in their order, with the searches of `devices`."""
    weights, table = folder / "weights.safetensors", folder / "accuracy.safetensors"
    readers = {"xavier-nx": ("statistics", "new_images", "terminal", "report")}
    nx, other = (work / name / "pareto.json" for name in ("xavier-nx", "other"))
    few = ("--images", BN_IMAGES, "--samples", BN_SAMPLES)
    optimiser = [f"optimiser.{kind}" for kind in ("safetensors", "json")]  # the second names both
    images = ["--data", data]
    published = [] if hardware is None else ["--data", str(hardware.resolve())]
    return [
        *entry(folder, data, work, devices, readers, samples=("--samples", SAMPLES), few=few),
        Step(
            "optimiser",
            (folder / "optimiser.json",),
            table,
            (
                search("xavier-nx", "instant", folder, "--instant"),
                partial(copy, [work / "instant" / name for name in optimiser], folder),
            ),
        ),
        Step(
            "search other",
            (other,),
            weights,
            (search("nano", "other", folder, "--seed=1"),),
            ("predicted_statistics",),
        ),
        benchmark("batch_norm", weights, *images),
        benchmark("early_exit", weights, *images),
        benchmark("predicted_statistics", weights, *images, "--pareto", "other/pareto.json"),
        benchmark("scoring", weights),
        benchmark("standalone", weights, *images),
        benchmark("new_images", weights, "xavier-nx/pareto.json", *images),
        benchmark("accuracy", weights, *published, asked_only=True),
        Step("terminal", (DOCS / "terminal.svg",), weights, (partial(terminal, nx, weights),)),
        Step("report", tuple(PICTURES), weights, (partial(pictures, nx, weights),)),
    ]


def entry(
    folder: Path,
    data: str,
    work: Path,
    devices: Sequence[str],
    readers: Mapping[str, tuple[str, ...]],
    *,
    prefix: str = "",
    samples: Sequence[object] = (),
    few: Sequence[object] = (),
) -> list[Step]:
    """What every supernet of the zoo ships beside its weights; `prefix` is that of its steps.

    `readers` are the steps that read the search of a device, where they are more than `statistics`.
    """
    weights, table = folder / "weights.safetensors", folder / "accuracy.safetensors"
    bn, card = folder / "bn.safetensors", folder / "card.md"
    predictor = folder / "predictor" / "accuracy_predictor.json"
    evaluate = nas("supernet", "evaluate", folder.name, "--data", data, *samples)
    if table.exists() and sha256_of(weights).encode() not in named(table):
        evaluate.append("--overwrite")  # of other weights; a killed run of these goes on
    searches = {device: work / f"{prefix}{device}" / "pareto.json" for device in devices}
    points = [word for d in devices for word in ("--pareto", f"{prefix}{d}/pareto.json")]
    out = f"{folder.name}/{bn.name}"
    calibrate = nas("supernet", "calibrate", folder.name, *points, "--data", data, "--out", out)
    return [
        Step(f"{prefix}table", (table, card), weights, (evaluate,)),
        Step(f"{prefix}predictor", (predictor,), table, (evaluate,)),
        *(
            Step(
                f"search {prefix}{device}",
                (path,),
                weights,
                (search(device, f"{prefix}{device}", folder),),
                readers.get(device, (f"{prefix}statistics",)),
            )
            for device, path in searches.items()
        ),
        Step(f"{prefix}statistics", (bn,), weights, ([*calibrate, *map(str, few)],)),
    ]


def linked(path: Path, work: Path) -> str:
    """The name of a link in `work` that leads to `path`."""
    link = work / path.name
    if link.resolve() != path.resolve():
        link.unlink(missing_ok=True)
        link.symlink_to(path.resolve())
    return link.name


def nas(*words: object) -> list[str]:
    return [sys.executable, "-m", "nas", *map(str, words)]


def search(device: str, out: str, folder: Path, *more: str) -> list[str]:
    asked = ("--supernet", folder.name, "--out", out, "--overwrite", "--quiet")
    return nas("search", "--device", device, *asked, *more)


def benchmark(name: str, of: Path, *words: str, asked_only: bool = False) -> Step:
    command = [sys.executable, str(ROOT / "benchmarks" / f"{name}.py"), *words]
    return Step(name, (RESULTS / f"{name}.json",), of, (command,), asked_only=asked_only)


def copy(files: Sequence[Path], to: Path) -> None:
    for file in files:
        shutil.copy2(file, to / file.name)


# ---- pictures ------------------------------------------------------------------------------------

SHOWN = Path("runs/xavier-nx/pareto.json")  # whatever `--work` is
QUESTION = "#accuracy=91.5&worst=0.5"
PICTURES = {  # width and height
    DOCS / "report.png": (1400, 1360),
    DOCS / "report-768.png": (768, 1560),
    DOCS / "report-390.png": (390, 1420),
}


def terminal(pareto: Path, weights: Path) -> None:
    """What a search ends with, 80 columns wide, as SVG."""
    import contextlib
    import io
    import os

    from rich.console import Console
    from rich.text import Text

    from nas.cli.tables import print_result
    from nas.pareto import read_pareto

    said = io.StringIO()
    os.environ |= {"COLUMNS": "80", "FORCE_COLOR": "1"}
    with contextlib.redirect_stdout(said):
        print_result(read_pareto(pareto), SHOWN, SHOWN.with_name("report.html"))
    console = Console(record=True, width=80, file=io.StringIO(), force_terminal=True)
    console.print(Text.from_ansi(said.getvalue().lstrip("\n")))
    svg = console.export_svg(title="nas search --device xavier-nx", unique_id="t")
    svg = re.sub(
        r"<!--.*?-->\s*|@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL
    )  # no fetched fonts
    svg = svg.replace("Fira Code, monospace", "monospace")
    text = f"{svg}\n<!-- weights {sha256_of(weights)} -->\n"
    (DOCS / "terminal.svg").write_text(text, encoding="utf-8")


def pictures(pareto: Path, weights: Path) -> None:
    """The top of the report at three widths (Debian's chromium, `pip install 'nas[browser]'`)."""
    import tempfile

    from PIL import Image, PngImagePlugin
    from playwright.sync_api import sync_playwright

    from nas.pareto import read_pareto
    from nas.report import write_report

    about = PngImagePlugin.PngInfo()
    about.add_text("weights_sha256", sha256_of(weights))
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as driver:
        report = Path(folder) / "report.html"
        write_report([read_pareto(pareto)], [SHOWN], report)
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"))
        for path, (width, height) in PICTURES.items():
            page = browser.new_page(viewport={"width": width, "height": height})
            page.goto(report.as_uri() + QUESTION)
            page.screenshot(path=path)
            with Image.open(path) as picture:
                few = picture.convert("RGB").quantize(256, method=Image.Quantize.MAXCOVERAGE)
            few.save(path, pnginfo=about, optimize=True)
        browser.close()


def pages(names: Sequence[str]) -> list[str]:
    """Pages whose text names one of these benchmarks."""
    places = [*DOCS.glob("*.md"), ROOT / "README.md"]
    texts = {path.name: path.read_text(encoding="utf-8") for path in places}
    wanted = [f"benchmarks/{name}.py" for name in names]
    return sorted(name for name, text in texts.items() if any(w in text for w in wanted))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--data", type=Path, help="CIFAR-10 binary folder; without: list alone")
    parser.add_argument(
        "--work", type=Path, default=Path("runs/zoo"), help="searches are kept here"
    )
    parser.add_argument("--hardware", type=Path, help="published tables, for `accuracy`")
    parser.add_argument("--only", nargs="*", default=[], help="names of steps")
    asked = parser.parse_args()
    ours, alexnet = supernet_folder("auto"), supernet_folder(ALEXNET)
    data = Path("CIFAR") if asked.data is None else asked.data.resolve()
    found = [
        *steps(ours, data.name, asked.work, asked.hardware),
        *entry(alexnet, data.name, asked.work, ["odroid-xu3"], {}, prefix="alexnet-"),
    ]
    if unknown := set(asked.only) - {step.name for step in found}:
        raise SystemExit(f"no such step: {', '.join(sorted(unknown))}; the list is without --data")
    if "accuracy" in asked.only and asked.hardware is None:
        raise SystemExit("step accuracy reads published tables: give their folder, --hardware")
    if asked.data is None:
        for step in found:
            state = "up to date" if step.up_to_date() else "to do"
            state += " (when named)" * step.asked_only
            state += f" (for {', '.join(step.serves)})" * bool(step.serves)
            print(f"{step.name}: {state}; {', '.join(path.name for path in step.makes)}")
        return
    asked.work.mkdir(parents=True, exist_ok=True)
    for path in (ours, alexnet, data):
        linked(path, asked.work)
    done = run(found, asked.only, asked.work)
    print(f"made: {', '.join(done) or 'nothing'}")
    print(f"read again, figures are text: {', '.join(pages(done)) or 'no page'}; tutorial.ipynb")


if __name__ == "__main__":
    main()
