"""Studies of somebody else: refused in one line, before anything is written."""

import optuna
import pytest
from optuna.distributions import CategoricalDistribution
from optuna.samplers import RandomSampler
from optuna.trial import create_trial

from nas.pareto import OBJECTIVES
from nas.search.study.open import open_study
from nas.search.study.storage import open_storage
from search_spaces import InputError

PARAMETERS = {"depth": CategoricalDistribution((1, 2)), "width": CategoricalDistribution((8, 16))}
PARAMS = {"depth": 1, "width": 16}


@pytest.fixture(params=["journal", "sqlite"])
def storage(request, tmp_path):
    file = tmp_path / "s"
    return f"{file}.journal" if request.param == "journal" else f"sqlite:///{file}.db"


def theirs(storage, tmp_path, directions=("minimize",) * 3, **trial):
    study = optuna.create_study(
        study_name="nas", storage=open_storage(storage, tmp_path), directions=directions
    )
    if trial:
        study.add_trial(create_trial(**trial))
    return study


def ours(storage, tmp_path, **options):
    sampler = RandomSampler()
    return open_study(storage, tmp_path, sampler, parameters=PARAMETERS, **options)


def refused(storage, tmp_path, message):
    (file,) = [f for f in tmp_path.iterdir() if f.name.startswith("s.") and f.suffix != ".turn"]
    before = file.read_bytes()
    with pytest.raises(InputError, match=f"^the study nas in .*{message}") as caught:
        ours(storage, tmp_path, search={"seed": 0})
    assert "\n" not in str(caught.value)
    assert file.read_bytes() == before


@pytest.mark.parametrize(
    ("directions", "message"),
    [
        (["minimize"] * 2, "has the number of objectives 2, this search minimises 3: top1_error"),
        (["minimize"], "has the number of objectives 1, this search minimises 3"),
        (["minimize", "maximize", "minimize"], "has the directions minimize, maximize, minimize"),
    ],
)
def test_other_objectives(storage, tmp_path, directions, message):
    theirs(storage, tmp_path, directions)
    refused(storage, tmp_path, f"{message}.*; give another `study` or `storage`, or `overwrite=")


@pytest.mark.parametrize(
    ("params", "distributions", "message"),
    [
        (
            {"lr": 8},
            {"lr": CategoricalDistribution((8,))},
            "parameters, without this search's depth",
        ),
        (
            PARAMS | {"lr": 8},
            PARAMETERS | {"lr": CategoricalDistribution((8,))},
            "parameters, .* lr",
        ),
        (
            PARAMS,
            PARAMETERS | {"width": CategoricalDistribution((8, 16, 32))},
            "choices of the parameter width",
        ),
        (
            PARAMS,
            PARAMETERS | {"width": optuna.distributions.IntDistribution(8, 16)},
            "choices of the parameter width",
        ),
    ],
)
def test_other_parameters_or_choices(storage, tmp_path, params, distributions, message):
    theirs(storage, tmp_path, params=params, distributions=distributions, values=[1, 2, 3])
    refused(storage, tmp_path, f"holds trial 0 with other {message}")


def test_values_that_are_no_numbers(storage, tmp_path):
    values = [1.0, float("inf"), 2.0]
    theirs(storage, tmp_path, params=PARAMS, distributions=PARAMETERS, values=values)
    refused(storage, tmp_path, "holds trial 0 with the values .*, not 3 numbers")


@pytest.mark.filterwarnings("ignore:.*set_metric_names is experimental")
def test_objectives_of_other_names(storage, tmp_path):
    theirs(storage, tmp_path).set_metric_names(["a", "b", "c"])
    refused(storage, tmp_path, r"number of objectives 3 \(a, b, c\), this search minimises 3")


def test_an_attribute_of_our_name(storage, tmp_path):
    theirs(storage, tmp_path).set_user_attr("search", "random")
    refused(storage, tmp_path, "was not made by `nas search`")


def test_an_empty_study_that_fits_is_taken(storage, tmp_path):
    theirs(storage, tmp_path)
    study = ours(storage, tmp_path, search={"seed": 0})
    assert study.metric_names == list(OBJECTIVES)
    assert study.user_attrs["search"] == {"seed": 0}


def test_trials_that_fail_or_run_are_no_fault(storage, tmp_path):
    study = theirs(storage, tmp_path)
    study.ask({"lr": CategoricalDistribution((8,))})
    study.tell(study.ask(), state=optuna.trial.TrialState.FAIL)
    assert len(ours(storage, tmp_path).trials) == 2


def test_overwrite_replaces_it(storage, tmp_path):
    theirs(storage, tmp_path, ["maximize"])
    assert len(ours(storage, tmp_path, overwrite=True).directions) == 3
