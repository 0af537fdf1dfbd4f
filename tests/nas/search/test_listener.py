"""What a search reports."""

import inspect

from nas.search.listener import Listener, Silent


def test_a_silent_listener_takes_every_report_and_shows_nothing(capsys):
    listener: Listener = Silent()
    reports = [n for n, _ in inspect.getmembers(Listener, inspect.isfunction) if n[0] != "_"]
    assert sorted(reports) == ["evaluation", "generation", "stage"]
    for name in reports:
        assert getattr(listener, name)("x") is None
    assert capsys.readouterr().out == ""
