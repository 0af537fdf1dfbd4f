"""A signal ends the work once, and later ones do not disturb the way back."""

from __future__ import annotations

import os
import signal

import pytest

from nas.board.control.stop import SIGNALS, stopping
from nas.cli.signals import heard_signals


@pytest.mark.parametrize("number", SIGNALS)
def test_the_first_signal_ends_the_work_and_later_ones_do_not(number: signal.Signals) -> None:
    before, restored = signal.getsignal(number), []

    def work() -> None:
        with stopping():
            try:
                os.kill(os.getpid(), number)
                pytest.fail("the work went on")
            finally:
                os.kill(os.getpid(), number)
                restored.append(True)

    with pytest.raises(KeyboardInterrupt, match=number.name):
        work()
    assert restored == [True]
    assert signal.getsignal(number) is before


def test_what_nohup_ignores_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stopping():
            os.kill(os.getpid(), signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_who_listens_outside_hears_of_it() -> None:
    """The command line, which ends with the signal's exit code."""

    def work() -> None:
        with stopping():
            os.kill(os.getpid(), signal.SIGTERM)

    with heard_signals() as heard, pytest.raises(KeyboardInterrupt, match="SIGTERM"):
        work()
    assert heard == [signal.SIGTERM]
