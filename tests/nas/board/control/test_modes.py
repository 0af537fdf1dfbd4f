"""Power modes of a Jetson by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from nas.board.control.journal import Journal
from nas.board.control.modes import current_mode, list_modes, set_mode
from nas.board.control.pins import find_clocks, limits, pin_all
from nas.board.control.sysfs import BoardError, DeniedError
from tests.nas.board.fake_board import FakeKernel, build, state


class TestModes:
    def test_by_name_where_numbers_moved(self, root: Path) -> None:
        """Some images put MAXN first, which moves every number."""
        tree = build("xavier-nx-jp5", root)
        names = ["MAXN", *list_modes(FakeKernel(root))]
        blocks = [f"< POWER_MODEL ID={i} NAME={name} >" for i, name in enumerate(names)]
        tree.put(
            "/etc/nvpmodel.conf", "\n".join(["# a comment", *blocks, "< PM_CONFIG DEFAULT=3 >"])
        )
        kernel = FakeKernel(root)
        assert list_modes(kernel)["MODE_15W_6CORE"] == 3
        with Journal(kernel) as journal:
            set_mode(journal, "MODE_10W_2CORE")
            assert current_mode(kernel) == "MODE_10W_2CORE"
            assert "pmode:0004" in kernel.read("/var/lib/nvpmodel/status")
        assert "pmode:0002" in kernel.read("/var/lib/nvpmodel/status")

    def test_clocks_that_the_user_had_set_outlive_a_mode(self, root: Path) -> None:
        """A mode writes the clocks' limits; they are put back behind it."""
        tree = build("xavier-nx-jp5", root)
        gpu = "/sys/devices/17000000.gv11b/devfreq/17000000.gv11b"
        for name in ("min_freq", "max_freq", "cur_freq"):
            tree.put(f"{gpu}/{name}", 510000000)
        kernel, before = FakeKernel(root), state(root)
        with Journal(kernel) as journal:
            clocks = find_clocks(kernel, {})
            set_mode(journal, "MODE_10W_2CORE", limits(clocks))
            assert kernel.read(f"{gpu}/max_freq") == "1109250000"
            pin_all(journal, clocks, {"gpu": 803.25})
        assert journal.faults == []
        assert state(root) == before

    def test_the_present_mode_changes_nothing(self, root: Path) -> None:
        build("xavier-nx-jp5", root)
        with Journal(FakeKernel(root)) as journal:
            set_mode(journal, "MODE_15W_6CORE")
            assert journal.entries == []

    def test_unknown(self, root: Path) -> None:
        build("xavier-nx-jp5", root)
        with (
            Journal(FakeKernel(root)) as journal,
            pytest.raises(
                BoardError, match=r"'MAXN' is not on this board; it has MODE_15W_2CORE, "
            ),
        ):
            set_mode(journal, "MAXN")

    def test_none_on_a_raspberry(self, root: Path) -> None:
        build("raspberry-pi-5", root)
        kernel = FakeKernel(root)
        assert current_mode(kernel) is None
        with (
            Journal(kernel) as journal,
            pytest.raises(BoardError, match=r"nvpmodel.conf is not there"),
        ):
            set_mode(journal, "MAXN")

    def test_a_reboot_is_not_made(self, root: Path) -> None:
        tree = build("agx-xavier-jp5", root)
        tree.put("/etc/needs_reboot", "1")
        with (
            Journal(FakeKernel(root)) as journal,
            pytest.raises(
                BoardError, match=r"MODE_10W was asked and MODE_30W_ALL is set; it wants a reb"
            ),
        ):
            set_mode(journal, "MODE_10W")
        assert journal.faults == []

    def test_the_status_file_where_nvpmodel_answers_root_alone(self, root: Path) -> None:
        tree = build("xavier-nx-jp4", root)
        tree.program("nvpmodel", "#!/bin/sh\necho 'must be root'; exit 1\n", "/usr/sbin")
        kernel = FakeKernel(root)
        assert current_mode(kernel) == "MODE_15W_6CORE"
        with Journal(kernel) as journal, pytest.raises(DeniedError, match="must be root"):
            set_mode(journal, "MODE_10W_2CORE")
