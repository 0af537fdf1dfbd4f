"""What Ray Tune calls, without a cluster: items are handed out, results and deaths come back."""

import numpy as np
import pytest

pytest.importorskip("ray", reason="what a cluster calls: needs nas[ray]")

from nas.cluster.trials import N_DEATHS, Handout, Stop, WorkTrial
from search_spaces import InputError


def test_a_generation_is_handed_out_in_order_and_the_next_one_waits():
    handout = Handout()
    for subnet in ("a", "b"):
        handout.asked.put(subnet)
    assert [handout.suggest("1"), handout.suggest("2")] == [{"item": "a"}, {"item": "b"}]
    assert handout.suggest("3") is None
    counts = np.zeros((1, 2), dtype=np.int32)
    handout.on_trial_complete("2", {"result": [counts]})
    assert handout.told.get_nowait() == ("b", counts)
    handout.asked.put(None)
    assert handout.suggest("3") == Handout.FINISHED


def test_a_subnet_that_cannot_be_evaluated_ends_the_search_in_one_line():
    handout = Handout()
    handout.asked.put("a")
    handout.suggest("1")
    handout.on_trial_complete("1", {"reason": "ValueError: no"})
    said = handout.told.get_nowait()
    assert isinstance(said, InputError)
    assert str(said) == "the trial of a failed: ValueError: no"


def test_a_subnet_whose_worker_died_is_handed_out_again_but_not_for_ever():
    said: list[str] = []
    handout = Handout(said.append)
    handout.asked.put("a")
    for i in range(N_DEATHS + 1):
        assert handout.suggest(str(i)) == {"item": "a"}
        assert handout.told.empty()
        handout.on_trial_complete(str(i), error=True)
    assert said == ["a worker died; a starts again"] * N_DEATHS
    assert handout.suggest("last") is None
    assert str(handout.told.get_nowait()) == "the trial of a failed: its worker died 11 times"


def test_nothing_of_the_search_goes_into_the_pickles_of_tune():
    assert Handout().__getstate__() == {}
    assert Stop().__getstate__() == {}


def test_a_trial_is_one_item_and_its_process_stays_for_the_next():
    def work(item):
        if item == "odd":
            raise InputError("`data` is odd")
        return [len(item), 1 // len(item)]

    trial = WorkTrial.__new__(WorkTrial)  # Tune makes it in a process of its own
    trial.setup({"item": "abc"}, work)
    assert trial.step() == {"done": True, "result": [[3, 0]]}
    assert trial.reset_config({"item": "odd"})
    assert trial.step() == {"done": True, "reason": "`data` is odd"}
    trial.reset_config({"item": ""})
    said = trial.step()["reason"]
    assert said.startswith("ZeroDivisionError: ")


def test_an_experiment_ends_when_it_is_told_to():
    stop = Stop()
    assert not stop.stop_all()
    stop.closed = True
    assert stop.stop_all()
    assert not stop("1", {})
