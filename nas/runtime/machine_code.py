"""Kernels as text to machine code of this processor, with llvmlite; kept in the user's cache.

The text comes with the exported folder, so that no compiler is needed and nothing else of ours.
"""

from __future__ import annotations

import hashlib
import os
import sys
from typing import Any, Iterable

from .files import write_whole

INSTALL = "pip install llvmlite"
OLDEST = (0, 44)  # of llvmlite: pointers without types


class NoKernels(Exception):
    """Why this machine runs no kernels, and what to install, in one line."""


def processor_kind() -> tuple[str, str]:
    """The kind of this processor, as `kernels.json.gz` calls it, and LLVM's features."""
    binding = _llvm()
    triple, features = binding.get_process_triple(), binding.get_host_cpu_features()
    known = features.flatten()
    if triple.startswith(("aarch64", "arm64")):
        return "neon", known
    if features.get("avx512f"):  # LLVM would split its vectors in two on some
        return "avx512", known + ",-prefer-256-bit"
    return "avx2" if features.get("avx2") and features.get("fma") else "sse", known


class MachineCode:
    """The functions of some texts; the code lives as long as this object."""

    def __init__(self, texts: Iterable[str], features: str) -> None:
        binding = _llvm()
        lines = [line for text in texts for line in text.splitlines()]
        declared = dict.fromkeys(line for line in lines if line.startswith("declare"))
        defined = [line for line in lines if line not in declared]
        text = "\n".join([*defined, *declared, ""])  # each function is declared once
        module = binding.parse_assembly("")
        self._engine = binding.create_mcjit_compiler(module, _machine(binding, features))
        self._engine.add_object_file(binding.ObjectFileRef.from_data(_object(text, features)))
        self._engine.finalize_object()

    def address(self, name: str) -> int:
        """Where a function lies."""
        return int(self._engine.get_function_address(name))


def _llvm() -> Any:
    """llvmlite's binding, ready for this machine; NoKernels without it."""
    try:
        import llvmlite
        import llvmlite.binding as binding

        binding.initialize_native_target()
        binding.initialize_native_asmprinter()
    except (ImportError, OSError, RuntimeError) as error:
        raise NoKernels(f"no llvmlite ({error}); {INSTALL}") from None
    found = llvmlite.__version__
    if tuple(int(part) for part in found.split(".")[:2]) < OLDEST:
        wanted = ".".join(map(str, OLDEST))
        raise NoKernels(f"llvmlite {found} is older than {wanted}; {INSTALL} -U")
    return binding


def _machine(binding: Any, features: str) -> Any:
    target = binding.Target.from_triple(binding.get_process_triple())
    return target.create_target_machine(
        cpu=binding.get_host_cpu_name(), features=features, opt=3, codemodel="jitdefault"
    )


def _object(text: str, features: str) -> bytes:
    """The object file of `text`, from the cache where it lies there whole."""
    binding = _llvm()
    import llvmlite

    key = "\n".join((llvmlite.__version__, binding.get_host_cpu_name(), features, text))
    path = os.path.join(cache_folder(), hashlib.sha256(key.encode()).hexdigest()[:40] + ".o")
    try:
        with open(path, "rb") as file:
            digest, known = file.read(32), file.read()
        if hashlib.sha256(known).digest() == digest:
            return known
    except OSError:
        pass
    made = _compiled(binding, text, features)
    _write(path, hashlib.sha256(made).digest() + made)
    return made


def _compiled(binding: Any, text: str, features: str) -> bytes:
    module, machine = binding.parse_assembly(text), _machine(binding, features)
    passes = binding.create_new_module_pass_manager()
    passes.add_sroa_pass()
    passes.add_instruction_combine_pass()
    passes.add_simplify_cfg_pass()
    options = binding.create_pipeline_tuning_options(speed_level=3)
    passes.run(module, binding.create_pass_builder(machine, options))
    made: bytes = machine.emit_object(module)
    return made


def _write(path: str, content: bytes) -> None:
    """Whole or not at all; a cache that cannot be written costs the time of translating again."""
    try:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        write_whole(path, content)
    except OSError:
        pass


def cache_folder() -> str:
    """Where machine code is kept; no folder where the user has no home."""
    home = os.path.expanduser("~")
    if sys.platform == "win32":
        home = os.environ.get("LOCALAPPDATA") or os.path.join(home, "AppData", "Local")
    else:
        home = os.environ.get("XDG_CACHE_HOME") or os.path.join(home, ".cache")
    return os.path.join(home if os.path.isabs(home) else os.devnull, "nas", "kernels")
