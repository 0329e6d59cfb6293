"""Coverage-guided fuzzing of `.ckpt` files: `python -m fuzz.ckpt_fuzz [libFuzzer options] [corpus folders]`."""

from __future__ import annotations

import sys

from fuzz.harness import run

if __name__ == "__main__":
    run("ckpt", sys.argv[1:])
