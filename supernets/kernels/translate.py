"""From LLVM code to machine code of this processor, by llvmlite, once per user and processor.

The result lies in the user's cache under the digest of code, processor and llvmlite. A file there
that is broken is made anew, and processes that write the same file at once replace it as a whole.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
import threading
import warnings
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from search_spaces import write_bytes
from supernets.kernels.text import Code

INSTALL = "pip install 'nas[kernels]'"
OLDEST = (0, 44)  # of llvmlite: pointers without types
_symbols: dict[Code, str] = {}  # what its functions' names end with
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
    """llvmlite's binding, ready here; None, and one line, where it is missing or too old."""
    try:
        import llvmlite
        import llvmlite.binding as binding

        if tuple(map(int, llvmlite.__version__.split(".")[:2])) < OLDEST:
            raise RuntimeError(f"llvmlite {llvmlite.__version__} is older than 0.44")
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


def compiled(text: str, target: Processor) -> bytes:
    """The object file of `text`."""
    module, machine = _optimised(text, target)
    return machine.emit_object(module)  # type: ignore[no-any-return]


def assembly(text: str, target: Processor) -> str:
    """What a person can read; values that found no register are marked as `Spill`."""
    module, machine = _optimised(text, target)
    return machine.emit_assembly(module)  # type: ignore[no-any-return]


def _optimised(text: str, target: Processor) -> tuple[Any, Any]:
    binding = llvm()
    assert binding is not None
    module = binding.parse_assembly(text)
    module.triple = target.triple
    machine = binding.Target.from_triple(target.triple).create_target_machine(
        cpu=target.name, features=target.features, opt=3, reloc="default", codemodel="jitdefault"
    )
    passes = binding.create_new_module_pass_manager()
    passes.add_sroa_pass()
    passes.add_instruction_combine_pass()
    passes.add_simplify_cfg_pass()
    options = binding.create_pipeline_tuning_options(speed_level=3)
    passes.run(module, binding.create_pass_builder(machine, options))
    return module, machine


def address(code: Code, name: str = "kernel") -> int:
    """Where the function `name` of `code` lies in this process's memory."""
    with _lock:
        binding, engine, symbol = llvm(), _engine(), _symbols.get(code)
        assert binding is not None
        if symbol is None:
            key = "\n".join((_generators(), *map(str, processor()), str(code)))
            symbol = f"_{hashlib.sha256(key.encode()).hexdigest()[:40]}"
            engine.add_object_file(binding.ObjectFileRef.from_data(_object(code, symbol)))
            engine.finalize_object()
            _symbols[code] = symbol
        return int(engine.get_function_address(name + symbol))


@cache
def _engine() -> Any:
    """What holds all machine code: one engine, since making one takes a millisecond."""
    binding = llvm()
    assert binding is not None
    machine = binding.Target.from_triple(processor().triple).create_target_machine()
    return binding.create_mcjit_compiler(binding.parse_assembly(""), machine)


@cache
def _generators() -> str:
    """What the text of a kernel depends on besides its arguments, and llvmlite."""
    import llvmlite

    sources = [path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py"))]
    return f"{llvmlite.__version__} {hashlib.sha256(b''.join(sources)).hexdigest()}"


def _object(code: Code, symbol: str) -> bytes:
    """The object file of `code`, from the cache where it lies there whole.

    The names of its functions end with `symbol`, so that no other one has them.
    """
    path = cache_folder() / f"{symbol[1:]}.o"
    try:
        digest, known = _split(path.read_bytes())
        if hashlib.sha256(known).digest() == digest:
            return known
    except OSError:
        pass
    text = code.text
    names = "|".join(re.findall(r"^define \w+ @(\w+)\(", text, re.MULTILINE))
    made = compiled(re.sub(rf"@({names})\b", rf"@\1{symbol}", text), processor())
    _write(path, hashlib.sha256(made).digest() + made)
    return made


def _split(content: bytes) -> tuple[bytes, bytes]:
    return content[:32], content[32:]


def _write(path: Path, content: bytes) -> None:
    """Whole or not at all; a cache that cannot be written costs the time of translating again."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_bytes(path, content)
    except OSError:
        pass


def cache_folder() -> Path:
    """Where translated kernels are kept; no folder where the user has no home."""
    if sys.platform == "win32":
        home = os.environ.get("LOCALAPPDATA") or os.path.expanduser("~/AppData/Local")
    else:
        home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(home if os.path.isabs(home) else os.devnull) / "nas" / "kernels"


def _forked() -> None:
    """A child gets a lock of its own: another thread of the parent may have held the parent's."""
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
