"""Saving and loading checkpoints: mindport against raw writes, safetensors, torch, torch DCP and MindSpore, in one run.

usage: python benchmarks/bench_ckpt.py [--quick] [--case 64x16MiB] [--repeats 5] [--folder DIR] [--no-mindspore]

A case is COUNTxSIZE (float32 tensors). Prints Markdown tables of medians; ratios are to mindport. Before each save the
file is deleted and the disk synced; every save ends with fsync of file and directory; the order of the contestants
changes from round to round. Loads end with all tensors as torch tensors (MindSpore: its own), page cache warm. The
first round warms up and does not count. MindSpore runs in a process of its own beside this one and takes its turns.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import ckpt_peers as peers
import numpy as np
from ckpt_peers import LOADS, RAW, SAVES, Case, file_of

from mindport.formats import ckpt
from mindport.storage.atomic import commit
from mindport.tensors import ArrayRef

FULL = ("64x16MiB", "20000x52KiB", "100000x1KiB")
QUICK = ("64x512KiB", "500x52KiB", "2000x1KiB")
SLOW_S, SLOW_REPEATS = 3.0, 3  # a contestant whose warm-up takes longer gets fewer rounds,
VERY_SLOW_S = 10.0  # and beyond this the warm-up is the measurement
MOST_DCP = 20_000  # tensors; torch DCP needs about a millisecond for each, saving and loading
UNMEASURED = ("raw", "no checksums", "limit")  # their memory says nothing
Times = dict[str, list[float]]


class MindSpore:
    """The worker process."""

    def __init__(self, case: Case) -> None:
        command = [sys.executable, peers.__file__, "serve", case.text]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        self._answer("ready")

    def _answer(self, wanted: str = "") -> str:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            text = line.strip()
            if text == wanted or (not wanted and text[:1].isdigit()):
                return text
        raise RuntimeError("the MindSpore process ended")

    def run(self, kind: str, path: Path) -> float:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{kind} {path}\n")
        self.process.stdin.flush()
        return float(self._answer())

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def rounds(work: dict[str, Callable[[], float | None]], before: Callable[[str], None], repeats: int) -> Times:
    """Runs all in turn, in another order each round, so that a slow moment of the machine hits each alike."""
    times: Times = {name: [] for name in work}
    names, left = list(work), dict.fromkeys(work, repeats + 1)
    for number in range(repeats + 1):
        shift = number * 3 % len(names)
        order = names[shift:] + names[:shift]
        for name in order if number % 2 == 0 else reversed(order):
            if left[name] == 0:
                continue
            before(name)
            gc.collect()
            started = time.perf_counter()
            inside = work[name]()
            seconds = time.perf_counter() - started if inside is None else inside
            times[name].append(seconds)
            left[name] -= 1
            if number == 0 and seconds > SLOW_S:
                left[name] = 0 if seconds > VERY_SLOW_S else min(left[name], SLOW_REPEATS)
    return {name: found[1:] or found for name, found in times.items()}


def measure(case: Case, repeats: int, folder: Path, with_mindspore: bool) -> tuple[Times, Times]:
    worker = MindSpore(case) if with_mindspore else None
    weights = peers.weights_of("mindport", case)
    joined = np.concatenate([value.numpy() for value in weights.values()]).data.cast("B")
    saves: dict[str, Callable[[], float | None]] = {}
    for name, save in SAVES.items():
        path = file_of(name, folder)
        if isinstance(save, peers.Raw):
            save.joined = joined
        if name == "torch DCP" and case.count > MOST_DCP:
            continue
        if name != "MindSpore":
            saves[name] = lambda save=save, path=path: save(path, weights)  # type: ignore[misc]
        elif worker is not None:
            saves[name] = lambda path=path: worker.run("save", path)  # type: ignore[misc]

    def fresh(name: str) -> None:
        remove(file_of(name, folder))
        os.sync()

    saved = rounds(saves, fresh, repeats)
    for save in SAVES.values():
        if isinstance(save, peers.Raw):
            save.joined = memoryview(b"")
    del joined
    weights.clear()
    for name in saves:
        if "raw" in name or "no checksums" in name:
            remove(file_of(name, folder))

    def load(name: str) -> Callable[[], float | None]:
        writer, loader = LOADS[name]
        path = file_of(writer, folder)
        if worker is not None and name == "MindSpore":
            return lambda: worker.run("load", path)

        def run() -> float:
            started = time.perf_counter()
            kept = loader(path, case)
            seconds = time.perf_counter() - started
            del kept  # unmapping is not loading
            return seconds

        return run

    loads = {name: load(name) for name, (writer, _) in LOADS.items() if writer in saves}
    loaded = rounds(loads, lambda _: None, repeats)
    if worker is not None:
        worker.close()
    return saved, loaded


def peaks(case: Case, folder: Path, only: tuple[str, ...]) -> dict[str, dict[str, int]]:
    """Returns the extra peak memory in bytes of the saves and loads whose name begins with one of `only`.

    The files for the loads are in `folder`.
    """
    found: dict[str, dict[str, int]] = {}
    for kind, names in (("load", LOADS), ("save", SAVES)):
        found[kind] = {}
        for name in names:
            if any(word in name for word in UNMEASURED) or not name.startswith(only):
                continue
            if kind == "save":
                remove(file_of(name, folder))
            remove(folder / "warm-up.ckpt")
            command = [sys.executable, peers.__file__, kind, name, case.text, str(folder)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            found[kind][name] = int(done.stdout.split()[-1])
    return found


def inspecting(folder: Path, nbytes: int, repeats: int) -> dict[str, float]:
    """Returns medians in seconds: interpreter start, `mindport inspect` of a file of `nbytes`, the call alone."""
    part = np.zeros(10_000_000, np.uint8)
    count = max(2, nbytes // part.nbytes)
    path = folder / "large.ckpt"
    commit(path, ckpt.write(ArrayRef(f"layer{i}.weight", part) for i in range(count)), durability="process")
    call = "import sys, time, mindport; t = time.perf_counter(); mindport.inspect(sys.argv[1]); "
    commands = {
        "interpreter start": ["-c", "pass"],
        "`mindport inspect`": ["-m", "mindport", "inspect", str(path)],
        "`mindport.inspect(path)`, the call alone": ["-c", call + "print(time.perf_counter() - t)", str(path)],
    }
    medians = {}
    for name, arguments in commands.items():
        times = []
        for _ in range(repeats + 1):
            started = time.perf_counter()
            done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=True)
            whole = time.perf_counter() - started
            times.append(float(done.stdout) if "alone" in name else whole)
        medians[name] = statistics.median(times[1:])
    remove(path)
    return medians


def table(times: Times, base: str, nbytes: int, rates: Callable[[str], bool]) -> Iterable[str]:
    medians = {name: statistics.median(found) for name, found in times.items()}
    yield "| | median, ms | lowest–highest | rounds | to mindport | GB/s |"
    yield "|---|---:|---:|---:|---:|---:|"
    for name in sorted(medians, key=medians.__getitem__):
        found, median = times[name], medians[name]
        rate = f"{nbytes / median / 1e9:.2f}" if rates(name) else ""
        span = f"{min(found) * 1e3:,.1f}–{max(found) * 1e3:,.1f}"
        yield f"| {name} | {median * 1e3:,.1f} | {span} | {len(found)} | {median / medians[base]:.2f} | {rate} |"


def machine(folder: Path) -> Iterable[str]:
    model = next(
        (x.split(":")[1].strip() for x in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in x), "?"
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    kind = subprocess.run(["stat", "-f", "-c", "%T", str(folder)], capture_output=True, text=True, check=False).stdout
    yield f"Machine: {os.cpu_count()} cores of {model}, {memory:.0f} GiB memory, file system {kind.strip()}."
    names = ("numpy", "torch", "safetensors", "mindspore", "xxhash")
    yield f"Versions: Python {platform.python_version()}, " + ", ".join(f"{n} {version(n)}" for n in names) + "."


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small sizes: shows that it works, measures nothing")
    parser.add_argument("--case", action="append", type=Case.parse, help="COUNTxSIZE, may be given several times")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--folder", type=Path, default=Path(), help="where to write; the disk that is measured")
    parser.add_argument("--no-mindspore", action="store_true")
    parser.add_argument("--json", type=Path, help="also write every time here")
    options = parser.parse_args()
    cases = options.case or [Case.parse(text) for text in (QUICK if options.quick else FULL)]
    kept: dict[str, Any] = {}
    print("\n".join(machine(options.folder)), flush=True)
    for index, case in enumerate(cases):
        with tempfile.TemporaryDirectory(dir=options.folder) as name:
            folder, nbytes = Path(name), case.count * case.nbytes
            saved, loaded = measure(case, options.repeats, folder, not options.no_mindspore)
            kept[case.text] = {"save": saved, "load": loaded}
            print(f"\n### {case.count:,} tensors, {nbytes / (1 << 20):,.0f} MiB\n\nSave, fsync included:\n")
            print("\n".join(table(saved, "mindport", nbytes, lambda _: True)))
            print("\nLoad:\n")
            print("\n".join(table(loaded, "mindport, mapped", nbytes, lambda name: "mapped" not in name)), flush=True)
            print(f"\nmindport's save is {ratio(saved, 'mindport', RAW):.2f} × the raw write (rounds paired).")
            only = ("mindport", "safetensors")
            if index == 0:  # the others need seconds each
                only = (*only, "torch", *(() if options.no_mindspore else ("MindSpore",)))
            found = peaks(case, folder, only)
            kept[case.text]["peaks"] = found
            print(f"\nExtra peak memory, {case.text}:\n\n| | MiB |\n|---|---:|")
            for kind, values in found.items():
                for what, size in values.items():
                    print(f"| {kind}: {what} | {size / (1 << 20):,.1f} |", flush=True)
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        size = 50_000_000 if options.quick else 5_000_000_000
        kept["inspect"] = inspecting(Path(name), size, options.repeats)
        print(f"\nInspecting a file of {size / 1e9:g} GB:\n\n| | median, ms |\n|---|---:|")
        for what, seconds in kept["inspect"].items():
            print(f"| {what} | {seconds * 1e3:,.1f} |")
    if options.json:
        options.json.write_text(json.dumps(kept, indent=1))


def ratio(times: Times, name: str, base: str) -> float:
    """Returns the median of the ratios within each round, which drift of the disk disturbs less."""
    return statistics.median(a / b for a, b in zip(times[name], times[base], strict=False))


if __name__ == "__main__":
    main()
