"""The public `ofa` package, whose networks benchmarks and tests stand beside ours."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from types import ModuleType
from typing import Any


def ofa_networks() -> Any:
    """`ofa`'s networks; its data loaders want torchvision, which gets a stand-in where absent."""
    names = ["torchvision" + part for part in ("", ".transforms", ".transforms.functional")]
    absent = importlib.util.find_spec("torchvision") is None
    for name in names if absent else []:
        sys.modules[name] = module = ModuleType(name)
        module.__getattr__ = lambda _: object  # type: ignore[method-assign]
        parent, _, child = name.rpartition(".")
        if parent:
            setattr(sys.modules[parent], child, module)
    try:
        return importlib.import_module("ofa.imagenet_classification.elastic_nn.networks")
    finally:
        for name in names if absent else []:
            del sys.modules[name]
