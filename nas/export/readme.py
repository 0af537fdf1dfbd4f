"""What a person reads in an exported folder, and what the command says of it."""

from __future__ import annotations

from nas.pareto.provenance import PREDICTED
from nas.runtime.records import ManifestContent


def readme(content: ManifestContent) -> str:
    """What a person needs on the board."""
    device, checked = content["device"], content["verified"]
    lines = [
        f"# {content['supernet']['name']} for {device['name']}",
        "",
        f"{len(content['configurations'])} configurations over {len(content['networks'])} networks "
        f"in {content['precision']}, exported by `{content['command']}`. `manifest.json` has their "
        "levels, thresholds, expected costs and where each figure comes from.",
        "",
        f"Checked with ONNX Runtime on {checked['n_images']} images ({checked['images']}): "
        f"logits differ by at most {checked['max_logit_difference']:g}, "
        f"{checked['equal_decisions']} of {checked['decisions']} decisions are equal.",
        "",
        f"Latency and energy are those of {device['precision']} with {device['backend']}.",
        "",
        *([costs, ""] if (costs := int8_told(content)) else []),
        *([why, ""] if (why := predicted_statistics(content)) else []),
        "## Run it",
        "",
        "A network is a chain of segments, one per exit. Run the first; where the largest "
        "probability of softmax(logits / temperature) reaches the threshold, stop; otherwise give "
        "its `features` to the next one. `run.pyz` does that with Python 3.8 or later, numpy and "
        "onnxruntime alone:",
        "",
        "```sh",
        "python3 run.pyz classify image.png",
        "python3 run.pyz benchmark",
        *(["python3 run.pyz govern --target-ms 20"] if content.get("governing") else []),
        "python3 run.pyz --help",
        "```",
        "",
        *_for_kernels(content),
        "From a program of your own:",
        "",
        "```python",
        "import sys",
        "",
        'sys.path.insert(0, "run.pyz")',
        "from nas.runtime import Engine, read_manifest",
        "",
        'manifest = read_manifest(".")',
        "engine = Engine(manifest)",
        "answers = engine(manifest.ids[0], manifest.normalise(images))  # uint8, NCHW",
        "```",
        "",
        "## TensorRT",
        "",
        *_for_tensorrt(content),
        "",
    ]
    return "\n".join(lines)


def int8_told(content: ManifestContent) -> str:
    """What int8 did to the answers, and whose costs the figures are; empty in another precision."""
    if content["precision"] != "int8":
        return ""
    checked, device = content["verified"], content["device"]
    told = (
        f"On these images int8 answers {checked['top1_error_pct']:.2f} % wrongly and fp32 "
        f"{checked['fp32_top1_error_pct']:.2f} % (mean of the configurations)."
    )
    if device["precision"] != "int8":
        told += (
            f" Latency and energy are those of {device['precision']}: a search with `--precision "
            "int8` has those of int8."
        )
    return told


def predicted_statistics(content: ManifestContent) -> str:
    """What to know where batch-norm statistics were predicted; empty where none were."""
    kinds = [network.get("statistics") for network in content["networks"].values()]
    if PREDICTED not in kinds:
        return ""
    return (
        f"Batch-norm statistics of {kinds.count(PREDICTED)} of {len(kinds)} networks are predicted "
        "from those of similar subnets, which costs accuracy (docs/training.md says how much); an "
        "export with the training images (`--data`) measures them."
    )


def _for_kernels(content: ManifestContent) -> list[str]:
    if "kernels" not in content:
        return []
    return [
        "Pruned networks run on the CPU with kernels where llvmlite is installed (`pip install "
        "llvmlite`), and dense, with the same answers, where it is not.",
        "",
    ]


def _for_tensorrt(content: ManifestContent) -> list[str]:
    if content["precision"] == "int8":
        return [
            "These files are for ONNX Runtime: TensorRT wants ranges that are symmetric. It makes "
            "int8 engines of the graphs of `nas export --standalone` itself."
        ]
    if "shared" in content:
        return [
            "It reads graphs with their weights inside: `nas export --standalone` writes those. "
            "Here they stand once, in `weights.safetensors`; `slices.json.gz` says how every graph "
            "takes its own from them."
        ]
    # the figures of a table of fp16 are not those of an engine in fp32
    fp16 = " --fp16" if "fp16" in (content["precision"], content["device"]["precision"]) else ""
    return [
        "One engine per segment, for batches of 1 to 8 images:",
        "",
        "```sh",
        *(_trtexec(name, f["input"], fp16) for name, f in content["files"].items() if "input" in f),
        "```",
    ]


def _trtexec(name: str, shape: list[int], fp16: str) -> str:
    sides = "x".join(map(str, shape))
    shapes = " ".join(
        f"--{kind}Shapes=input:{batch}x{sides}"
        for kind, batch in (("min", 1), ("opt", 1), ("max", 8))
    )
    return f"trtexec --onnx={name} --saveEngine={name.removesuffix('.onnx')}.plan {shapes}{fp16}"
