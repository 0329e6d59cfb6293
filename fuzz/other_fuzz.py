"""Fuzzing of the other formats: `python -m fuzz.other_fuzz FORMAT [libFuzzer options] [corpus folders]`.

FORMAT is safetensors, npz, graph_meta, mindir or air.
"""

from __future__ import annotations

import sys

from fuzz.harness import run

if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    run(sys.argv[1], sys.argv[2:])
