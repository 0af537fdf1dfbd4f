"""What may run next is what the governor decides, and asking it changes nothing."""

from __future__ import annotations

from nas.runtime.controller import Job
from nas.runtime.foresight import all_foreseen, foreseen
from nas.runtime.governor import Governor
from nas.runtime.policies import Demands
from nas.runtime.scenarios import delays
from tests.nas.runtime.tables import small_table


def test_decisions_are_foreseen_and_untouched() -> None:
    table = small_table(n_levels=5, n_rows=12)
    target = 3 * float(table.mean_ms[:, -1].max())
    demands = Demands(target, float(table.error_pct.max()))
    governors = [Governor([table], [demands], delays(5, "gpu")) for _ in range(2)]
    asked, plain = governors
    for i, left in enumerate([1.0, 0.7, 0.4, 0.9, 0.5]):
        rows = foreseen(asked, 2, i, 1000.0 * i)
        jobs = [Job(0, 2, left * target)]
        found = asked.decide(jobs, i, 1000.0 * i)
        assert found == plain.decide(jobs, i, 1000.0 * i)
        assert found.rows[0] in rows
    every = all_foreseen(asked, 2)
    assert sorted(every) == list(range(len(table.ids)))
    assert every[0] == foreseen(Governor([table], [demands], delays(5, "gpu")), 2, 0, 0.0)[0]
