"""Networks as ONNX graphs, built layer by layer."""
