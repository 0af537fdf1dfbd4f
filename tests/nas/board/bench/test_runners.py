"""What runs a task on a board."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from nas.board.bench.runners import close_runner, make_runner
from nas.board.control.sysfs import BoardError


class TestRunners:
    def onnx_file(self, path: Path, side: int, *, batch: object = "batch") -> None:
        onnx = pytest.importorskip("onnx")
        h, kind = onnx.helper, onnx.TensorProto.FLOAT
        value = onnx.numpy_helper.from_array(np.ones((side, side + 1), np.float32), "w")
        inputs = [h.make_tensor_value_info("input", kind, [batch, side])]
        outputs = [h.make_tensor_value_info("out", kind, [batch, side + 1])]
        graph = h.make_graph(
            [h.make_node("MatMul", ["input", "w"], ["out"])], "g", inputs, outputs, [value]
        )
        onnx.save(h.make_model(graph, opset_imports=[h.make_opsetid("", 13)], ir_version=7), path)

    def test_onnx_files_in_a_row(self, tmp_path: Path) -> None:
        self.onnx_file(tmp_path / "a.onnx", 3)
        self.onnx_file(tmp_path / "b.onnx", 4)
        wanted = {"runner": "onnxruntime", "files": ["a.onnx", "b.onnx"], "batch": 2}
        run, sync = make_runner(wanted, str(tmp_path))
        assert run() is None
        sync()
        with pytest.raises(BoardError, match=r"a.onnx is not in .*; ship it"):
            make_runner(wanted, str(tmp_path / "elsewhere"))
        with pytest.raises(BoardError, match="onnxruntime here has no Tensorrt"):
            make_runner({**wanted, "providers": ["TensorrtExecutionProvider"]}, str(tmp_path))

    def test_a_file_that_is_no_model(self, tmp_path: Path) -> None:
        (tmp_path / "a.onnx").write_bytes(b"no")
        with pytest.raises(BoardError, match=r"onnxruntime refuses a.onnx"):
            make_runner({"runner": "onnxruntime", "files": ["a.onnx"]}, str(tmp_path))

    def test_a_command_is_no_shell(self, tmp_path: Path) -> None:
        code = "import sys\nfor line in sys.stdin: print(sys.argv, flush=True)"
        strange = "$(touch {folder}/made); `id` 'a \"b"
        run, _ = make_runner(
            {"runner": "command", "command": [sys.executable, "-c", code, strange]}, str(tmp_path)
        )
        run()
        run()
        close_runner((run, run))
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize(
        ("command", "words"),
        [
            (["/no/such"], "cannot start /no/such: No such file"),
            ([], "needs `command`, a list"),
            (
                [sys.executable, "-c", "raise SystemExit('no model')"],
                r"code 1 without an answer: no model; it must",
            ),
        ],
    )
    def test_commands_that_fail(self, command: list[str], words: str, tmp_path: Path) -> None:
        with pytest.raises(BoardError, match=words):
            make_runner({"runner": "command", "command": command}, str(tmp_path))[0]()

    def test_a_module(self, tmp_path: Path) -> None:
        """A file of the user's own that makes the pair."""
        (tmp_path / "mine.py").write_text(
            "def make(task, folder):\n    return lambda: 'ran', lambda: None\n"
        )
        run, _ = make_runner({"runner": "module", "files": ["mine.py"]}, str(tmp_path))
        assert run() == "ran"
        (tmp_path / "mine.py").write_text("import nothing_like_it\n")
        with pytest.raises(BoardError, match=r"mine.py: ModuleNotFoundError: No module named"):
            make_runner({"runner": "module", "files": ["mine.py"]}, str(tmp_path))

    def test_an_unknown_one(self) -> None:
        with pytest.raises(
            BoardError, match="runner 'shell' is unknown; there are onnxruntime, command"
        ):
            make_runner({"runner": "shell"}, ".")
