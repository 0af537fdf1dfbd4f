"""What a search can be asked: refusals name the argument; what a resumed run may change."""

import json
from pathlib import Path

import pytest

from nas.search import SearchSettings
from nas.search.settings import CONTENT, differing
from search_spaces import InputError


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"n_trials": 0}, "`n_trials` must be at least 1, got 0"),
        ({"population": 0}, "`population` must be at least 2, got 0"),
        ({"patience": 0}, "`patience` must be at least 1, got 0"),
        ({"seed": -1}, "`seed` must be 0 or more"),
        ({"sampler": "best"}, "`sampler` must be nsga2, surrogate or optuna:NAME, got 'best'"),
        ({"clocks": "cpu"}, "`clocks` must be gpu or all"),
        ({"space": "nasbench201"}, "`space` and `accuracy_table` belong together"),
        ({"objectives": ("latency_ms",)}, "`objectives` must begin with top1_error_pct and"),
        ({"measurements": "a.csv", "proxy": "./a.csv"}, "`proxy` learns from the rows of `measu"),
        ({"instant": True, "warm_start": Path("a")}, "`warm_start` begins a search, `instant`"),
    ],
)
def test_what_cannot_be_searched_names_its_argument(change, said):
    with pytest.raises(InputError) as refused:
        SearchSettings("xavier-nx", "run", **change)
    assert said in str(refused.value)
    assert "--" not in str(refused.value)


def test_paths_may_be_strings_and_generations_is_nsga2():
    settings = SearchSettings("nano", "run", data="images", sampler="generations")
    assert (settings.folder, settings.data) == (Path("run"), Path("images"))
    assert settings.sampler == "nsga2"


def test_a_resumed_run_may_have_more_trials_but_no_other_seed():
    first = SearchSettings("nano", "a").fingerprint()
    assert differing(first, SearchSettings("nano", "b", n_trials=7).fingerprint()) == []
    assert differing(first, SearchSettings("nano", "b", seed=1).fingerprint()) == ["seed"]
    older = {k: v for k, v in first.items() if k != "objectives"} | {"sampler": "generations"}
    assert differing(older, first) == []


@pytest.mark.parametrize("name", ["measurements", "proxy", "device"])
def test_a_run_goes_on_with_the_same_content_of_its_files(tmp_path, name):
    """More rows in the file that was named are another search."""
    file = tmp_path / "file"
    given = {"device": "nano", name: file if name == "measurements" else str(file)}

    def asked():
        return SearchSettings(out="a", **given).fingerprint()

    file.write_text("rows")
    first = json.loads(json.dumps(asked()))
    assert differing(first, asked()) == []
    older = {key: value for key, value in first.items() if not key.startswith(CONTENT)}
    assert differing(older, asked()) == []
    file.write_text("rows and more")
    assert differing(first, asked()) == [f"content of {name}"]
    file.unlink()  # the rows are in the run's folder
    assert differing(first, asked()) == []
