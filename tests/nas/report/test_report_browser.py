"""The pages in a real browser: Debian's chromium, driven by playwright, looked at by axe-core.

`pip install 'nas[browser]'` and `apt install chromium`, then `pytest -m slow tests/nas/report`.
"""

from __future__ import annotations

import json
import random
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode

import pytest

from nas.pareto import ParetoTable, read_pareto
from nas.report import transfer_report_html, write_report
from search_spaces import InputError
from tests.nas.conftest import nas
from tests.nas.report.test_html import synthetic_pareto
from tests.nas.transfer.test_judgement import judged

pytestmark = pytest.mark.slow
WIDTHS = (390, 768, 1400)
KEYS = {
    "accuracy": "max_error_pct",
    "latency": "max_latency_ms",
    "worst": "max_worst_latency_ms",
    "energy": "max_energy_mj",
}
FIELDS = ("top1_error_pct", "latency_ms", "latency_worst_ms", "energy_mj")
SMALL = """[...document.querySelectorAll("button, input, summary, .chips label")].filter(node => {
  const {width, height} = node.getBoundingClientRect();
  return width && height && (width < 24 || height < 24);
}).map(node => node.outerHTML.slice(0, 120))"""
COVERED = """[...document.querySelectorAll("svg[data-chart]")].flatMap(svg => {
  const box = node => node.getBoundingClientRect();
  const marks = [...svg.querySelectorAll(".mark")].map(box);
  return [...svg.querySelectorAll("text.name")].filter(text => {
    const t = box(text);
    return marks.some(m => m.left < t.right && m.right > t.left
      && m.top < t.bottom && m.bottom > t.top);
  }).map(text => svg.dataset.chart + ": " + text.textContent);
})"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api")
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        pytest.skip("chromium is not installed")
    with playwright.sync_playwright() as driver:
        quiet = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        found = driver.chromium.launch(executable_path=path, args=quiet)
        yield found
        found.close()


@pytest.fixture(scope="module")
def axe() -> str:
    """The source of axe-core."""
    module = pytest.importorskip("axe_playwright_python")
    return (Path(module.__file__).parent / "axe.min.js").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A search for two devices, as files."""
    out = tmp_path_factory.mktemp("search") / "run"
    asked = "--device", "xavier-nx", "--device", "nano", "--trials", 100, "--points", 10
    assert nas("search", *asked, "--out", out, "--quiet").code == 0
    return [out / name / "pareto.json" for name in ("xavier-nx", "nano")]


@pytest.fixture(scope="module")
def pages(results: list[Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One result, one without exits or energy, several together, a governor's lines, a transfer."""
    out = tmp_path_factory.mktemp("pages")
    tables = [read_pareto(path) for path in results]
    plain = synthetic_pareto()
    for point in [*plain["points"], *plain["baselines"]]:
        point |= {"exits": {"after": [], "thresholds": []}, "exit_rates": [1.0]}
        point |= {"energy_mj": None, "energy_source": None}
    plain["objectives"].pop()
    plain |= {"supernet": None, "search": {}}
    write_report(tables[:1], results[:1], out / "one.html")
    write_report([ParetoTable(plain)], results[:1], out / "plain.html")
    write_report(tables, results, out / "two.html")
    load = "--simulate", "bursts", "--seconds", 5, "--quiet", "--report", out / "governor.html"
    assert nas("govern", "--pareto", results[0], *load).code == 0
    judgements = {"latency_ms": judged()}
    transfer = transfer_report_html(judgements, device="nx", space="resnet-digits")
    (out / "transfer.html").write_text(transfer, encoding="utf-8")
    return {path.stem: path for path in out.iterdir()}


@pytest.fixture
def opened(browser: Any, request: pytest.FixtureRequest) -> Iterator[Any]:
    """A function that opens a page and fails at the end on a script error or a request."""
    faults: list[str] = []
    contexts = []

    def open_(path: Path, width: int = 1400, address: str = "", **options: Any) -> Any:
        context = browser.new_context(viewport={"width": width, "height": 900}, **options)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda m: faults.append(m.text) if m.type in ("error", "warning") else 0)
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("request", lambda r: None if r.is_navigation_request() else faults.append(r.url))
        page.goto(path.as_uri() + address)
        return page

    yield open_
    for context in contexts:
        context.close()
    assert faults == []


@pytest.mark.parametrize("name", ["one", "plain", "two", "governor", "transfer"])
@pytest.mark.parametrize("width", WIDTHS)
def test_a_page_fits_and_is_accessible(
    opened: Any, axe: str, pages: dict[str, Path], name: str, width: int
) -> None:
    for scheme in ("light", "dark") if width == WIDTHS[-1] else ("light",):
        page = opened(pages[name], width, color_scheme=scheme)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate(SMALL) == []
        assert page.evaluate(COVERED) == []
        page.evaluate(axe)
        found = page.evaluate("axe.run({resultTypes: ['violations']})")["violations"]
        told = [f"{one['id']}: {one['nodes'][0]['html'][:200]}" for one in found]
        assert told == []


def random_question(random_: random.Random, tables: list[ParetoTable]) -> dict[str, Any]:
    """One to four limits near the figures of the points, and a part of the levels."""
    points = [point for table in tables for point in table.points]
    asked: dict[str, Any] = {"limits": {}, "levels": []}
    for key, field in zip(KEYS, FIELDS, strict=True):
        if random_.random() < 0.55:
            value = random_.choice(points)[field] * random_.choice([1.0, 1.0, 0.97, 1.3])
            asked["limits"][key] = round(100 - value, 4) if key == "accuracy" else round(value, 5)
    for table in tables:
        numbers = [level["level"] for level in table.levels]
        some = random_.random() < 0.5
        chosen = random_.sample(numbers, random_.randint(0, len(numbers))) if some else numbers
        asked["levels"].append(sorted(chosen))
    return asked


def in_python(tables: list[ParetoTable], asked: dict[str, Any]) -> tuple[int, str] | None:
    """Which table and which point answers, by the library alone."""
    limits = {
        KEYS[k]: round(100 - v, 9) if k == "accuracy" else v for k, v in asked["limits"].items()
    }
    found = []
    for i, (table, levels) in enumerate(zip(tables, asked["levels"], strict=True)):
        try:
            point = table.cheapest(**limits, levels=levels)
        except InputError:
            continue
        found.append((point["energy_mj"] or 0, point["latency_ms"], point["id"], i))
    return (min(found)[3], min(found)[2]) if found else None


def ask(page: Any, asked: dict[str, Any]) -> None:
    """Fill in the form as a person does."""
    page.click("#loosen")
    for key, value in asked["limits"].items():
        page.fill(f"#n-{key}", str(value))
    for i, levels in enumerate(asked["levels"]):
        box = page.locator("#levels fieldset").nth(i)
        boxes = box.locator("input")
        if len(levels) < boxes.count():
            box.get_by_text("none", exact=True).click()
            for level in levels:
                box.locator(f'input[value="{level}"]').check()


def address(asked: dict[str, Any], tables: list[ParetoTable]) -> str:
    """The same question as an address."""
    words = {key: str(value) for key, value in asked["limits"].items()}
    for table, levels in zip(tables, asked["levels"], strict=True):
        key = f"levels.{table.content['device']['name']}" if len(tables) > 1 else "levels"
        words[key] = ",".join(map(str, levels))
    return "#" + urlencode(words)


def answered(page: Any) -> tuple[str, str]:
    """The point of the card, and whether it meets the limits."""
    data = page.evaluate("({...document.getElementById('answer').dataset})")
    return data.get("point", ""), data.get("met", "")


@pytest.mark.parametrize("name", ["one", "two"])
def test_limits_find_the_point_that_python_finds(
    opened: Any, pages: dict[str, Path], results: list[Path], name: str
) -> None:
    tables = [read_pareto(path) for path in results][: 1 if name == "one" else 2]
    page, random_ = opened(pages[name]), random.Random(1)
    n_met = 0
    for i in range(60):
        asked = random_question(random_, tables)
        if i < 12:
            ask(page, asked)
        else:
            page.evaluate("address => { location.hash = address; }", address(asked, tables))
            page.wait_for_timeout(20)  # for the event
        expected, (point, met) = in_python(tables, asked), answered(page)
        if expected is None:
            assert met != "true", asked
            continue
        n_met += 1
        assert (point, met) == (expected[1], "true"), asked
        call = page.inner_text("#python")  # the line that the page shows finds it, too
        path, _, arguments = call.partition(".cheapest")
        table = tables[expected[0]]
        assert path == f'nas.read_pareto("{results[expected[0]]}")'
        words = dict(re.findall(r"(\w+)=(\[[^]]*\]|[^,)]+)", arguments))
        assert table.cheapest(**{k: json.loads(v) for k, v in words.items()})["id"] == point
        assert f"--id {point} " in page.inner_text("#command")
    assert 20 <= n_met < 60


def test_an_address_keeps_the_question(opened: Any, pages: dict[str, Path]) -> None:
    page = opened(pages["two"])
    asked = {"limits": {"accuracy": 80.5, "worst": 0.9}, "levels": [[0, 1, 4], [2]]}
    ask(page, asked)
    address = page.evaluate("location.hash")
    assert parse_qs(address[1:]) == {
        "accuracy": ["80.5"],
        "worst": ["0.9"],
        "levels.xavier-nx": ["0-1,4"],
        "levels.nano": ["2"],
    }
    again = opened(pages["two"], address=address)
    assert answered(again) == answered(page)
    assert again.input_value("#n-accuracy") == "80.5"
    assert again.locator("#levels input:checked").count() == 4


def test_an_address_with_nonsense_is_no_limit(opened: Any, pages: dict[str, Path]) -> None:
    page = opened(pages["one"], address="#accuracy=<b>&latency=1e999&levels=99,x-2&what=1")
    assert page.input_value("#n-accuracy") == ""
    assert "No level is allowed" in page.inner_text("#answer")


def test_out_of_reach_is_said_with_what_would_do(opened: Any, pages: dict[str, Path]) -> None:
    page = opened(pages["one"])
    ask(page, {"limits": {"accuracy": 99.9, "worst": 0.5}, "levels": [list(range(15))]})
    point, met = answered(page)
    assert met == "false"
    assert point
    assert "Nothing meets these limits" in page.inner_text("#answer")
    assert "instead of 99.9 %" in page.inner_text("#answer")
    page.locator("#answer [role=status] button").first.click()  # a looser accuracy
    assert answered(page)[1] == "true"
    assert float(page.input_value("#n-accuracy")) < 99.9


def test_a_point_is_copied_as_json(
    opened: Any, pages: dict[str, Path], results: list[Path]
) -> None:
    grants = ["clipboard-read", "clipboard-write"]
    page = opened(pages["one"], permissions=grants)
    page.get_by_text("Copy the point as JSON").click()
    page.get_by_text("copied").wait_for()
    copied = json.loads(page.evaluate("navigator.clipboard.readText()"))
    point = next(p for p in read_pareto(results[0]).points if p["id"] == answered(page)[0])
    assert {key: copied[key] for key in point} == point
    assert copied["device"]["name"] == "xavier-nx"
    assert set(copied["clocks"]) == {"gpu_mhz", "cpu_mhz", "emc_mhz", "power_mode"}


def test_a_slider_asks_and_the_keyboard_is_enough(opened: Any, pages: dict[str, Path]) -> None:
    page = opened(pages["one"])
    page.click("#loosen")
    slider = page.locator("#sliders input[type=range]").nth(1)
    slider.focus()
    before = answered(page)
    for _ in range(30):
        page.keyboard.press("PageUp")
        page.keyboard.press("ArrowRight")
    limit = float(page.input_value("#n-latency"))
    assert before != answered(page) or limit > 0
    page.locator('svg[data-chart="latency_ms"] .mark').first.focus()
    first = page.inner_text('[data-said="latency_ms"]')
    page.keyboard.press("ArrowRight")
    assert page.inner_text('[data-said="latency_ms"]') != first


def test_without_scripts_the_tables_are_there(opened: Any, pages: dict[str, Path]) -> None:
    page = opened(pages["one"], java_script_enabled=False)
    assert page.locator(".grouped tbody").count() == 15
    assert not page.locator("#limits").is_visible()
    assert "in a browser that runs scripts" in page.inner_text("#answer")


def test_a_page_prints(opened: Any, pages: dict[str, Path]) -> None:
    page = opened(pages["one"])
    page.emulate_media(media="print")
    assert not page.locator("#limits").is_visible()
    assert "accuracy ≥" in page.inner_text("#answer")
    assert page.evaluate("getComputedStyle(document.body).color") == "rgb(0, 0, 0)"
    assert page.pdf(format="A4")[:4] == b"%PDF"
