"""What a search shows while it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

    from nas.search.front.outcomes import Generation

STAGES = ("search", "result", "verify on test images", "shared subnets")  # that begin


class SearchScreen:
    """Draws what a search reports: a line per finding, what it is at, a bar for the generations."""

    def __init__(self, log: Console) -> None:
        from nas.cli.output import end, progress, waiting

        self.end, self.log, self.bar = end, log, progress(log)
        self.stages = waiting(log, "loading libraries")
        self.task = self.bar.add_task("search", total=None, note="")
        self.drawn = self.stages

    def __enter__(self) -> SearchScreen:
        self.drawn.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self.end(self.drawn)

    def ask(self, n_trials: int) -> None:
        """Draw the bar for so many trials."""
        self.bar.update(self.task, total=n_trials)

    def stage(self, text: str) -> None:
        """What was found is a line that stays; what begins is shown while it lasts."""
        if self.drawn is self.bar:
            if text == "result":  # a search may end before its last trial: with the space, or early
                self.bar.update(self.task, total=self.bar.tasks[self.task].completed)
            self._draw(self.stages)
        name = text if text in STAGES else "preparing"
        self.stages.reset(self.stages.task_ids[0], description=name)
        if text not in STAGES or not self.log.is_terminal:
            self.log.print(text, markup=False)

    def evaluation(self, n_evaluated: int) -> None:
        self._draw(self.bar)
        self.bar.update(self.task, note=f"{n_evaluated:,} evaluated on images")

    def generation(self, generation: Generation) -> None:
        self._draw(self.bar)
        note = f"hypervolume {generation.hypervolume:.4f}, {generation.n_points:,} on fronts"
        self.bar.update(self.task, completed=generation.n_trials, note=note)

    def _draw(self, wanted: Progress) -> None:
        if self.drawn is not wanted:
            self.end(self.drawn)
            self.drawn = wanted
            self.drawn.start()
