"""What all tests share: one thread per process, and no deadline that a busy machine could miss."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before NumPy or torch is imported; several workers share the cores

from hypothesis import settings

settings.register_profile("mindport", deadline=None, print_blob=True)
settings.load_profile("mindport")
