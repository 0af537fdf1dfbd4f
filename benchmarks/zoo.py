"""Everything that hangs on the weights of the zoo's CIFAR-10 supernet, made again in one go.

    python benchmarks/zoo.py                                # list the steps and what is to do
    python benchmarks/zoo.py --data CIFAR --work runs/zoo   # do it; a rerun goes on where it was
    python benchmarks/zoo.py --data CIFAR --work runs/zoo --only table predictor

A step is skipped where each of its files names the checksum of what it was made from: the weights,
or the accuracy table that was made from them. Searches are made only where a step that reads them
is to do. `standalone` trains for hours and `accuracy` wants published tables (`--hardware`), so
both run only where they are named. Temperatures are part of the table. Proxy rows are no step: what
a network costs does not depend on its weights. Nor are results that name no weights: `governor.py
--tables`, `int8.py`, `bilevel.py` and the benchmarks of the search itself, which say how they are
made. The figures of a page in `docs/` are text; the last line names the pages to read again.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from nas.devices import profile_names
from nas.files import sha256_of
from nas.zoo.folder import supernet_folder

ROOT = Path(__file__).parents[1]
RESULTS, DOCS = ROOT / "benchmarks" / "results", ROOT / "docs"
SAMPLES, BN_IMAGES, BN_SAMPLES = 500, 500, 80  # as in the card and in `bn.safetensors`
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


def run(steps: Sequence[Step], chosen: Sequence[str]) -> list[str]:
    """Do what is to do; names of the steps that were done. SystemExit: a step failed, by name."""
    done = []
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
        for command in step.commands:
            if callable(command):
                command()
            elif subprocess.run(command, cwd=ROOT, check=False).returncode:
                raise SystemExit(f"step {step.name} failed: {' '.join(command)}")
        if not step.up_to_date():
            raise SystemExit(f"step {step.name} left files that do not name {step.of.name}")
        done.append(step.name)
    return done


def steps(
    folder: Path,
    data: Path,
    work: Path,
    hardware: Path | None = None,
    devices: Sequence[str] = tuple(profile_names()),
) -> list[Step]:
    """All steps for the supernet in `folder`, in their order, with the searches of `devices`."""
    weights, table = folder / "weights.safetensors", folder / "accuracy.safetensors"
    bn, card = folder / "bn.safetensors", folder / "card.md"
    predictor = folder / "predictor" / "accuracy_predictor.json"
    optimiser = [f"optimiser.{kind}" for kind in ("safetensors", "json")]  # the second names both
    searches = {name: work / name / "pareto.json" for name in devices}
    readers = {"xavier-nx": ("statistics", "new_images", "terminal", "report")}
    nx, other = (work / name / "pareto.json" for name in ("xavier-nx", "other"))
    images = ["--data", str(data)]
    evaluate = nas("supernet", "evaluate", folder, *images, "--samples", SAMPLES)
    if table.exists() and sha256_of(weights).encode() not in named(table):
        evaluate.append("--overwrite")  # of other weights; a killed run of these goes on
    tables = [word for path in searches.values() for word in ("--pareto", str(path))]
    calibrate = nas("supernet", "calibrate", folder, *tables, *images, "--out", bn)
    calibrate += ["--images", str(BN_IMAGES), "--samples", str(BN_SAMPLES)]
    return [
        Step("table", (table, card), weights, (evaluate,)),
        Step("predictor", (predictor,), table, (evaluate,)),
        *(
            Step(
                f"search {name}",
                (path,),
                weights,
                (search(name, path.parent, folder),),
                readers.get(name, ("statistics",)),
            )
            for name, path in searches.items()
        ),
        Step("statistics", (bn,), weights, (calibrate,)),
        Step(
            "optimiser",
            (folder / "optimiser.json",),
            table,
            (
                search("xavier-nx", work / "instant", folder, "--instant"),
                partial(move, [work / "instant" / name for name in optimiser], folder),
            ),
        ),
        Step(
            "search other",
            (other,),
            weights,
            (search("nano", other.parent, folder, "--seed=1"),),
            ("predicted_statistics",),
        ),
        benchmark("batch_norm", weights, *images),
        benchmark("early_exit", weights, *images),
        benchmark("predicted_statistics", weights, *images, "--pareto", str(other)),
        benchmark("scoring", weights),
        benchmark("new_images", weights, str(nx), *images),
        benchmark("standalone", weights, *images, "--work", str(work / "alone"), asked_only=True),
        benchmark("accuracy", weights, "--data", str(hardware), asked_only=True),
        Step("terminal", (DOCS / "terminal.svg",), weights, (partial(terminal, nx, weights),)),
        Step("report", tuple(PICTURES), weights, (partial(pictures, nx, weights),)),
    ]


def nas(*words: object) -> list[str]:
    return [sys.executable, "-m", "nas", *map(str, words)]


def search(device: str, out: Path, folder: Path, *more: str) -> list[str]:
    asked = ("--supernet", folder, "--out", out, "--overwrite", "--quiet")
    return nas("search", "--device", device, *asked, *more)


def benchmark(name: str, of: Path, *words: str, asked_only: bool = False) -> Step:
    command = [sys.executable, str(ROOT / "benchmarks" / f"{name}.py"), *words]
    return Step(name, (RESULTS / f"{name}.json",), of, (command,), asked_only=asked_only)


def move(files: Sequence[Path], to: Path) -> None:
    for file in files:
        shutil.move(file, to / file.name)


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
    found = steps(supernet_folder("auto"), asked.data or Path("CIFAR"), asked.work, asked.hardware)
    if unknown := set(asked.only) - {step.name for step in found}:
        raise SystemExit(f"no such step: {', '.join(sorted(unknown))}; the list is without --data")
    if asked.data is None:
        for step in found:
            state = "up to date" if step.up_to_date() else "to do"
            state += " (when named)" * step.asked_only
            state += f" (for {', '.join(step.serves)})" * bool(step.serves)
            print(f"{step.name}: {state}; {', '.join(path.name for path in step.makes)}")
        return
    done = run(found, asked.only)
    print(f"made: {', '.join(done) or 'nothing'}")
    print(f"read again, figures are text: {', '.join(pages(done)) or 'no page'}; tutorial.ipynb")


if __name__ == "__main__":
    main()
