"""What runs on the board: reads an exported folder, answers images, stops at the first sure exit.

Python 3.8, numpy and onnxruntime; nothing else of this project. Copy the folder to the board.
"""

from .engine import Answers, Engine
from .manifest import Manifest, ManifestError, read_manifest

__all__ = ["Answers", "Engine", "Manifest", "ManifestError", "read_manifest"]
