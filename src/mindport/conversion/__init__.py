"""Moving graphs between dialects and proving that they still compute the same.

`pipeline` lists the steps: `legalise` and `fold` are ONNX → ONNX, `lower` goes to a target through the op cards, `lift`
comes back. `export` starts from a network, `files` from a file; `run` computes a graph, `parity` compares results.
"""
