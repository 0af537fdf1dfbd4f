"""Steps that are made again: when, in which order, and what is said where one fails."""

import hashlib
import sys
from pathlib import Path

import pytest

from benchmarks.zoo import Step, linked, main, named, pages, run, steps
from tests.nas.conftest import Digits, make_digits


def test_the_list_names_every_step_and_what_ships_belongs_together(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "argv", ["zoo.py", "--work", str(tmp_path)])
    main()
    said = dict(line.split(": ", 1) for line in capsys.readouterr().out.splitlines())
    shipped = ("table", "predictor", "statistics")
    for name in (*shipped, "optimiser", *(f"alexnet-{name}" for name in shipped)):
        assert said[name].startswith("up to date"), name
    assert said["search nano"] == "to do (for statistics); pareto.json"
    monkeypatch.setattr(sys, "argv", ["zoo.py", "--only", "tabel"])
    with pytest.raises(SystemExit, match="no such step: tabel"):
        main()
    monkeypatch.setattr(sys, "argv", ["zoo.py", "--only", "accuracy"])
    with pytest.raises(SystemExit, match="step accuracy reads published tables"):
        main()


def test_commands_run_beside_links_and_name_no_place(tmp_path: Path) -> None:
    """What they write into the files that ship is what they were called with."""
    work, data = tmp_path / "work", tmp_path / "images"
    work.mkdir()
    for path in (data, tmp_path / "net", tmp_path / "other"):
        path.mkdir()
    assert linked(data, work) == linked(data, work) == "images"
    (work / "images").unlink()
    (work / "images").symlink_to(tmp_path / "other")
    assert (work / linked(data, work)).resolve() == data
    assert linked(work / "images", work) == "images"
    found = steps(tmp_path / "net", "images", work, devices=["xavier-nx"])
    words = [w for step in found for c in step.commands if isinstance(c, list) for w in c]
    assert "images" in words
    assert not [word for word in words if str(tmp_path) in word]
    here = [sys.executable, "-c", "open('table', 'w').write(open('weights').read())"]
    (work / "weights").write_text(hashlib.sha256(b"").hexdigest())
    (tmp_path / "nothing").touch()
    assert run([Step("table", (work / "table",), tmp_path / "nothing", (here,))], [], work)


class Chain:
    """A table of the weights, a search that the statistics alone read, statistics."""

    def __init__(self, home: Path) -> None:
        self.home, self.made = home, list[str]()
        self.weights = home / "weights"
        self.weights.write_text("first")
        self.steps = [
            self.step("table"),
            self.step("search", serves=("statistics",)),
            self.step("statistics"),
            self.step("hours", asked_only=True),
        ]

    def step(self, name: str, **more: object) -> Step:
        def make() -> None:
            self.made.append(name)
            checksum = hashlib.sha256(self.weights.read_bytes()).hexdigest()
            (self.home / name).write_text(f"made from {checksum}")

        return Step(name, (self.home / name,), self.weights, (make,), **more)  # type: ignore[arg-type]


def test_what_is_up_to_date_is_left_and_new_weights_make_all_again(tmp_path: Path) -> None:
    chain = Chain(tmp_path)
    assert run(chain.steps, []) == chain.made == ["table", "search", "statistics"]
    assert run(chain.steps, []) == []
    (tmp_path / "search").unlink()
    assert run(chain.steps, []) == []  # nobody reads it
    assert run(chain.steps, ["hours"]) == ["hours"]
    (tmp_path / "statistics").unlink()
    assert run(chain.steps, ["statistics"]) == ["search", "statistics"]
    (tmp_path / "search").unlink()
    assert run(chain.steps, ["search"]) == ["search"]
    chain.weights.write_text("second")
    assert run(chain.steps, []) == ["table", "search", "statistics"]


def test_a_rerun_goes_on_at_the_step_that_failed(tmp_path: Path) -> None:
    chain = Chain(tmp_path)
    broken = [sys.executable, "-S", "-c", "raise SystemExit(3)"]
    fails = Step("statistics", (tmp_path / "statistics",), chain.weights, (broken,))
    with pytest.raises(SystemExit, match=r"step statistics failed: .*SystemExit"):
        run([*chain.steps[:2], fails], [])
    assert run(chain.steps, []) == ["statistics"]
    stale = Step("table", (tmp_path / "none",), chain.weights, (lambda: None,))
    with pytest.raises(SystemExit, match="step table left files that do not name weights"):
        run([stale], [])


@pytest.mark.slow
def test_a_supernet_of_digits_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The real commands, for one device; what the files name decides what a rerun does."""
    monkeypatch.setattr("benchmarks.zoo.SAMPLES", 20)
    net = tmp_path / "net"
    make_digits(Digits(net, tmp_path / "rows.csv"))
    (net / "card.md").unlink()
    asked = ["table", "predictor", "statistics"]
    work = tmp_path / "work"
    work.mkdir()
    linked(net, work)
    found = steps(net, "digits", work, devices=["xavier-nx"])
    assert run(found, asked, work) == ["table", "search xavier-nx", "statistics"]
    assert run(found, asked, work) == []
    assert (net / "bn.safetensors").exists()


def test_a_file_names_checksums_and_a_page_its_benchmarks(tmp_path: Path) -> None:
    checksum = hashlib.sha256(b"weights").hexdigest()
    (tmp_path / "card.md").write_text(f"- weights sha256 `{checksum}`")
    assert named(tmp_path / "card.md") == {checksum.encode()}
    assert "training.md" in pages(["batch_norm"])
    assert pages(["no_such"]) == []
