"""Early-exit inference with ONNX Runtime: one session per segment, run only when it is needed."""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple, Sequence

import numpy as np

from .machine_code import NoKernels
from .manifest import Manifest, ManifestError
from .program import Kernels, ProgramSession, read_kernels
from .sessions import Sessions
from .tensors import read_tensors
from .weights import SharedWeights

RESIDENT = 1.5  # bytes of a session / bytes of its weights: benchmarks/board_memory.py


class Answers(NamedTuple):
    """One entry per image: the class, the confidence in it, and the exit that answered."""

    classes: np.ndarray  # (N,) int64
    confidence: np.ndarray  # (N,) float32, calibrated
    exits: np.ndarray  # (N,) int64, the exit's number


class Engine:
    """Runs the configurations of an exported folder.

    Sessions are made at first use and shared by all configurations of a network, so that a switch
    between configurations that have run before costs nothing. `memory_mb` (10^6 bytes) bounds
    them: those used least recently are given up first, the network that runs never. Pruned
    networks run with `kernels` on the CPU where llvmlite is installed, and dense otherwise.
    """

    def __init__(
        self,
        manifest: Manifest,
        threads: int = 1,
        providers: list[str] | None = None,
        memory_mb: float | None = None,
        kernels: bool = True,
    ) -> None:
        if memory_mb is not None and not memory_mb > 0:
            raise ManifestError(f"`memory_mb` must be positive, got {memory_mb:g}")
        self.manifest, self.threads = manifest, threads
        self.providers = providers or ["CPUExecutionProvider"]
        content = manifest.content
        shared, precision = content.get("shared"), content.get("precision", "fp32")
        self._weights = shared and SharedWeights(manifest.folder, shared, precision)
        wanted = kernels and not providers and "kernels" in content
        self._kernels = _kernels(manifest.path(content["kernels"])) if wanted else None
        self._subnets = {
            f: n["subnet"] for n in content["networks"].values() for f in n["segments"]
        }
        limit = float("inf") if memory_mb is None else 1e6 * memory_mb
        self.sessions = Sessions(self._made, self._n_bytes, limit)

    def prepare(self, id_: str) -> None:
        """Load all segments of a configuration now instead of at first use."""
        segments = self.manifest.network(id_)["segments"]
        self.sessions.use(segments)
        for file in segments:
            self.sessions(file)

    def foresee(self, ids: Sequence[str]) -> None:
        """Prepare what may run soon in the background, the likeliest first, while memory lasts."""
        self.sessions.foresee([self.manifest.network(id_)["segments"] for id_ in ids])

    def __call__(self, id_: str, images: np.ndarray) -> Answers:
        """Answer normalised images (N, C, H, W), float32, under configuration `id_`.

        An image leaves at the first exit whose confidence reaches the threshold; the segments
        behind are not run for it. ManifestError: images of another shape or type.
        """
        network = self.manifest.network(id_)
        first = self.manifest.content["files"][network["segments"][0]]
        check_images(images, first.get("input", list(images.shape[1:])))
        self.sessions.use(network["segments"])
        thresholds = [*self.manifest.configuration(id_)["thresholds"], 0.0]
        n = len(images)
        waiting = np.arange(n)
        answers = Answers(np.empty(n, np.int64), np.empty(n, np.float32), np.empty(n, np.int64))
        x = np.ascontiguousarray(images, dtype=np.float32)
        for i, file in enumerate(network["segments"]):
            *features, logits = self.sessions(file).run(None, {"input": x})
            if not np.isfinite(logits).all():  # no exit would ever be sure
                raise ManifestError(
                    f"{file} answers numbers that are not finite: values of up to "
                    f"{np.abs(images).max():.3g} in the images are too large for it"
                )
            confidence, classes = decide(logits, network["temperatures"][i])
            leaves = confidence.astype(np.float64) >= thresholds[i]
            left = waiting[leaves]
            answers.classes[left], answers.confidence[left] = classes[leaves], confidence[leaves]
            answers.exits[left] = network["exits"][i]
            if leaves.all():
                break
            waiting, x = waiting[~leaves], features[0][~leaves]
        return answers

    def logits(self, network: str, images: np.ndarray) -> list[np.ndarray]:
        """Logits of every exit of a network, none left early: for checks."""
        x, found = images, []
        segments = self.manifest.content["networks"][network]["segments"]
        self.sessions.use(segments)
        for file in segments:
            *features, logits = self.sessions(file).run(None, {"input": x})
            found.append(logits)
            x = features[0] if features else x
        return found

    def _n_bytes(self, file: str) -> float:
        """What the session of a graph takes: its weights in the layouts of ONNX Runtime."""
        files = self.manifest.content["files"]
        if self._kernels and file in self._kernels.programs:
            program = self._kernels.programs[file]
            return float(files[program["tensors"]]["bytes"] + program["scratch"])
        described = files[file]
        return RESIDENT * described.get("weight_bytes", described.get("bytes", 0))

    def _made(self, file: str) -> Any:
        if self._kernels and file in self._kernels.programs:
            path = self.manifest.path(self._kernels.programs[file]["tensors"])
            return ProgramSession(self._kernels, file, read_tensors(path), self.threads)
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self.threads
        arrays: dict[str, np.ndarray] = {}  # alive until ONNX Runtime has its own copies
        if self._weights and file in self._weights:
            arrays = self._weights.of(file, self._subnets[file])
            values = [onnxruntime.OrtValue.ortvalue_from_numpy(a) for a in arrays.values()]
            if not hasattr(options, "add_external_initializers"):
                raise ManifestError(
                    f"ONNX Runtime {onnxruntime.__version__} takes no weights from outside: "
                    "install a later one, or export with --standalone"
                )
            options.add_external_initializers(list(arrays), values)
        path = self.manifest.path(file)
        return onnxruntime.InferenceSession(path, options, providers=self.providers)


def _kernels(path: str) -> Kernels | None:
    """The kernels of a folder; None, and one line, where none can run."""
    try:
        return read_kernels(path)
    except NoKernels as why:
        warnings.warn(f"pruned networks run dense here: {why}", RuntimeWarning, stacklevel=3)
        return None


def check_images(images: np.ndarray, shape: list[int]) -> None:
    """ManifestError, which says what to do, for what are no normalised images of `shape` (C, H, W).

    Numbers of 0 to 255 would be answered too, and wrongly; so whole numbers are refused.
    """
    wanted, found = f"(N, {', '.join(map(str, shape))})", tuple(np.shape(images))
    if found[1:] != tuple(shape) or len(found) != 4:
        advice = "resize them as in training"
        if found == tuple(shape):
            advice = "one image is a batch as well: images[None]"
        elif sorted(found[1:]) == sorted(shape) and len(found) == 4:
            advice = "channels come first: images.transpose(0, 3, 1, 2)"
        raise ManifestError(f"images must have the shape {wanted}, got {found}; {advice}")
    kind = np.asarray(images).dtype
    if kind.kind != "f":
        raise ManifestError(
            f"images must be float32, normalised, got {kind}; manifest.normalise(images) makes "
            "them of uint8 pixels"
        )
    if not np.isfinite(images).all():
        raise ManifestError("images have values that are not finite: they answer nothing")


def decide(logits: np.ndarray, temperature: float) -> Any:
    """Calibrated confidence (N,) float32 and class (N,) of logits (N, classes)."""
    scaled = logits.astype(np.float32) / np.float32(temperature)
    scaled = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    return (scaled.max(axis=1) / scaled.sum(axis=1)).astype(np.float32), logits.argmax(axis=1)
