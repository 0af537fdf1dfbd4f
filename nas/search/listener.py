"""Where a search reports what it does; the command line draws it."""

from __future__ import annotations

from typing import Protocol

from nas.search.front.outcomes import Generation


class Listener(Protocol):
    """Called as the search goes on, always in the thread that runs it."""

    def stage(self, text: str) -> None: ...

    def generation(self, generation: Generation) -> None: ...

    def evaluation(self, n_evaluated: int) -> None:
        """One more subnet was run on images."""
        ...


class Silent:
    """A listener that shows nothing."""

    def stage(self, text: str) -> None:
        pass

    def generation(self, generation: Generation) -> None:
        pass

    def evaluation(self, n_evaluated: int) -> None:
        pass
