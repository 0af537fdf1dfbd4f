"""From LLVM code to machine code of this processor, by llvmlite, once per user and processor.

The result lies in the user's cache under the digest of code, processor and llvmlite. A file there
that is broken is made anew, and processes that write the same file at once replace it as a whole.
"""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
import threading
import warnings
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

INSTALL = "pip install 'nas[kernels]'"
_engines: dict[str, Any] = {}  # machine code lives as long as its engine
_lock = threading.Lock()


class Processor(NamedTuple):
    """What code is written for."""

    triple: str
    name: str
    features: str  # LLVM's, separated by commas
    vector: int  # floats in a register
    registers: int


@cache
def llvm() -> ModuleType | None:
    """llvmlite's binding, ready for this machine; None, and one line, where it is missing."""
    try:
        import llvmlite.binding as binding

        binding.initialize_native_target()
        binding.initialize_native_asmprinter()
    except (ImportError, OSError, RuntimeError) as error:
        warnings.warn(
            f"no kernels for pruned layers ({error}): they run dense, with zeros; {INSTALL}",
            RuntimeWarning,
            stacklevel=2,
        )
        return None
    return binding  # type: ignore[no-any-return]


@cache
def processor() -> Processor:
    """This machine's; one line where it has no AVX2, so that kernels are slower."""
    binding = llvm()
    assert binding is not None
    features = binding.get_host_cpu_features()
    triple, name = binding.get_process_triple(), binding.get_host_cpu_name()
    known = features.flatten()
    if triple.startswith(("aarch64", "arm64")):
        return Processor(triple, name, known, 4, 32)
    if features.get("avx512f"):  # LLVM would split its vectors in two on some
        return Processor(triple, name, known + ",-prefer-256-bit", 16, 32)
    if features.get("avx2") and features.get("fma"):
        return Processor(triple, name, known, 8, 16)
    warnings.warn(f"{name} has no AVX2: kernels take vectors of 4", RuntimeWarning, stacklevel=2)
    return Processor(triple, name, known, 4, 16)


def compiled(text: str, target: Processor, *, relocation: str = "default") -> bytes:
    """The object file of `text`."""
    module, machine = _optimised(text, target, relocation)
    return machine.emit_object(module)  # type: ignore[no-any-return]


def assembly(text: str, target: Processor) -> str:
    """What a person can read; values that found no register are marked as `Spill`."""
    module, machine = _optimised(text, target, "default")
    return machine.emit_assembly(module)  # type: ignore[no-any-return]


def _optimised(text: str, target: Processor, relocation: str) -> tuple[Any, Any]:
    binding = llvm()
    assert binding is not None
    module = binding.parse_assembly(text)
    module.triple = target.triple
    machine = binding.Target.from_triple(target.triple).create_target_machine(
        cpu=target.name, features=target.features, opt=3, reloc=relocation, codemodel="jitdefault"
    )
    passes = binding.create_new_module_pass_manager()
    passes.add_sroa_pass()
    passes.add_instruction_combine_pass()
    passes.add_simplify_cfg_pass()
    options = binding.create_pipeline_tuning_options(speed_level=3)
    passes.run(module, binding.create_pass_builder(machine, options))
    return module, machine


def address(text: str, name: str = "kernel") -> int:
    """Where the function `name` of `text` lies in this process's memory."""
    with _lock:
        if text not in _engines:
            _engines[text] = _loaded(_object(text))
        return int(_engines[text].get_function_address(name))


def _loaded(code: bytes) -> Any:
    binding = llvm()
    assert binding is not None
    machine = binding.Target.from_triple(processor().triple).create_target_machine()
    engine = binding.create_mcjit_compiler(binding.parse_assembly(""), machine)
    engine.add_object_file(binding.ObjectFileRef.from_data(code))
    engine.finalize_object()
    return engine


def _object(text: str) -> bytes:
    """The object file of `text`, from the cache where it lies there whole."""
    import llvmlite

    target = processor()
    key = "\n".join((llvmlite.__version__, *map(str, target), text)).encode()
    path = cache_folder() / f"{hashlib.sha256(key).hexdigest()[:40]}.o"
    try:
        digest, code = _split(path.read_bytes())
        if hashlib.sha256(code).digest() == digest:
            return code
    except OSError:
        pass
    code = compiled(text, target)
    _write(path, hashlib.sha256(code).digest() + code)
    return code


def _split(content: bytes) -> tuple[bytes, bytes]:
    return content[:32], content[32:]


def _write(path: Path, content: bytes) -> None:
    """Whole or not at all; a cache that cannot be written costs the time of translating again."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as aside:
            aside.write(content)
        os.replace(aside.name, path)
    except OSError:
        pass


def cache_folder() -> Path:
    """Where translated kernels are kept."""
    if sys.platform == "win32":
        home = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData/Local"
    else:
        home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "nas" / "kernels"


def _forked() -> None:
    """A child gets a lock of its own: another thread of the parent may have held the parent's."""
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
