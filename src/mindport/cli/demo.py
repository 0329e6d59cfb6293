"""`mindport demo`: the tutorial on real data, with the training killed in the middle of an epoch and resumed.

Training and exporting happen in processes of their own (`mindport.cli.demo_worker`), which run the functions of
`examples/save_models.py`; this process watches, kills, compares and shows.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import mindport
from mindport.cli import demo_report
from mindport.cli.demo_report import DemoReport, Export, Stage
from mindport.cli.options import Session, common, show
from mindport.cli.progress import Stages
from mindport.cli.render import count
from mindport.errors import CheckFailed, MissingFile, UsageError
from mindport.extras import available, need
from mindport.results import Check

if TYPE_CHECKING:
    from typing_extensions import Self

NETWORKS = ("resnet50", "resnet18", "lenet")
FORMATS = ("ONNX", "MINDIR", "AIR")
NEEDED = ("torch", "onnx", "onnx_ir", "onnxscript", "onnxruntime", "sklearn")
GOOD_ACCURACY = 0.8  # 0.1 would be chance
_LOG_LINES = 30
_ENVIRONMENT = {
    "OMP_WAIT_POLICY": "PASSIVE",  # threads that spin while they wait slow down a busy machine
    "PYTHONSAFEPATH": "1",  # never a module of the current folder
}

Event = dict[str, Any]


@click.command("demo")
@click.option("--network", type=click.Choice(NETWORKS), default="resnet50", help="What to train (default: resnet50).")
@click.option("--epochs", type=click.IntRange(1, 1000), help="Number of epochs (default: what the network needs).")
@click.option("--out", type=click.Path(file_okay=False), help="Keep the files in this folder, made if missing.")
@click.option("--keep", is_flag=True, help="Keep the files, in ./mindport-demo unless --out says where.")
@click.option("--formats", default=",".join(FORMATS), help="What to export to, separated by commas (default: all).")
@common
def command(session: Session, network: str, epochs: int | None, out: str | None, keep: bool, formats: str) -> None:
    """Train, kill, resume, load and export a network, on real data, and prove each step.

    Trains on scikit-learn's handwritten digits twice: once without interruption, once with the process killed
    (SIGKILL) in the middle of an epoch and started again. Both have to end with the same bits. The checkpoint is
    loaded into a fresh network, which is exported; each file is run and compared with PyTorch. Exit code 0 means
    that everything held.
    """
    wanted = _formats(formats)
    for module in NEEDED:
        if not available(module):
            need(module, "the demo")
    place = out or ("mindport-demo" if keep else None)
    folder = _made(place) if place else Path(tempfile.mkdtemp(prefix="mindport-demo-"))
    style = "none" if session.quiet or session.json else None
    try:
        with Stages(style) as stages:
            report = Demo(network, epochs, wanted, folder, stages, kept=place is not None).run()
    finally:
        if place is None:
            shutil.rmtree(folder, ignore_errors=True)
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    show(session, report, lambda found: demo_report.render(found, width))
    if not report.ok:
        raise click.exceptions.Exit(CheckFailed.exit_code)


def _formats(text: str) -> list[str]:
    wanted = list(dict.fromkeys(name.strip().upper() for name in text.split(",") if name.strip()))
    unknown = [name for name in wanted if name not in FORMATS]
    if unknown or not wanted:
        raise UsageError(f"--formats takes {', '.join(FORMATS)}, not {', '.join(unknown) or 'nothing'}")
    return wanted


def _made(place: str) -> Path:
    folder = Path(place)
    for part in ("reference", "killed"):
        if (folder / part).exists():
            raise UsageError(f"{folder / part} is there from an earlier demo; delete it or choose another --out")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def examples_folder() -> Path:
    """Returns the folder of the examples: inside an installed package, or beside the sources of a checkout.

    Raises:
        MissingFile: the installation has none.
    """
    package = Path(mindport.__file__).parent
    for folder in (package / "examples", package.parents[1] / "examples"):
        if (folder / "save_models.py").is_file():
            return folder
    raise MissingFile("the examples that the demo runs are missing from this installation; install mindport again")


class Worker:
    """One process of the demo. As a context manager it never leaves the process behind.

    Args:
        stage: ``"train"`` or ``"prove"``.
        options: its options, see `mindport.cli.demo_worker`.
    """

    def __init__(self, stage: str, options: dict[str, Any]) -> None:
        command = [sys.executable, "-u", "-m", "mindport.cli.demo_worker", str(examples_folder()), stage]
        self.log: deque[str] = deque(maxlen=_LOG_LINES)
        # our own interpreter and module; the options are one argument of JSON
        self._process = subprocess.Popen(  # noqa: S603
            [*command, json.dumps(options)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env={**os.environ, **_ENVIRONMENT},
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def events(self) -> Iterator[Event]:
        """Yields what the process reports until it ends.

        Raises:
            CheckFailed: it reported an error, or ended in another way than success (unless it was killed by `kill`).
        """
        from mindport.cli.demo_worker import decode

        assert self._process.stdout is not None
        for line in self._process.stdout:
            event = decode(line)
            if event is None:
                self.log.append(line.rstrip())
            elif event["event"] == "error":
                raise CheckFailed(f"error {event['id']}: {event['message']}")
            else:
                yield event
        code = self._process.wait()
        if code:
            tail = "\n".join(f"  {line}" for line in self.log)
            raise CheckFailed(f"a process of the demo ended with exit code {code}:\n{tail}")

    def kill(self) -> int:
        """Kills the process (SIGKILL: it gets no chance to do anything) and returns its exit code."""
        self._process.send_signal(signal.SIGKILL)
        return self._process.wait()


class Demo:
    """One run of the demo.

    Args:
        network: name of the network.
        epochs: number of epochs, None for what suits the network.
        formats: formats to export to.
        folder: where to write; has to be free of earlier runs.
        stages: shows the progress.
        kept: the files stay; otherwise what is no longer needed is deleted on the way.
    """

    def __init__(
        self, network: str, epochs: int | None, formats: Sequence[str], folder: Path, stages: Stages, *, kept: bool
    ) -> None:
        self.network, self.epochs, self.formats = network, epochs, formats
        self.folder, self.stages, self.kept = folder, stages, kept
        self.checks: list[Check] = []
        self.exports: list[Export] = []
        self.times: list[Stage] = []

    def run(self) -> DemoReport:
        """Does everything and returns what was found.

        Raises:
            CheckFailed: a process of the demo failed, so that nothing can be said about the rest.
        """
        reference = self._train("Train without interruption", "reference")
        if not self.kept:
            shutil.rmtree(self.folder / "reference", ignore_errors=True)
        ready, code = self._train_and_kill()
        resumed = self._train("Resume and train to the end", "killed", resume=True)
        self._judge_training(reference, ready, code, resumed)
        accuracy = self._prove(resumed["trained"]["accuracy"])
        return DemoReport(
            network=self.network,
            epochs=reference["begin"]["total"] // reference["begin"]["batches"],
            accuracy=accuracy,
            checks=tuple(self.checks),
            exports=tuple(self.exports),
            stages=tuple(self.times),
            folder=str(self.folder) if self.kept else None,
        )

    def _options(self, directory: str, **more: Any) -> dict[str, Any]:
        return {"network": self.network, "epochs": self.epochs, "directory": str(self.folder / directory), **more}

    def _train(self, title: str, directory: str, *, resume: bool = False) -> dict[str, Event]:
        """Trains to the end; returns the last event of each kind."""
        last: dict[str, Event] = {}
        saved: list[Event] = []
        self.stages.start(title)
        with Worker("train", self._options(directory, resume=resume)) as worker:
            for event in worker.events():
                last[event["event"]] = event
                if event["event"] == "saved":
                    saved.append(event)
                self._show_step(event, last)
        note = f"{count(len(saved), 'checkpoint')} saved, {_milliseconds(saved)} ms each"
        self._end_stage(title, note)
        return last

    def _train_and_kill(self) -> tuple[Event, int]:
        """Trains until the process says that it is in the middle of an epoch, and kills it there."""
        title = "Train again and kill the process"
        last: dict[str, Event] = {}
        self.stages.start(title)
        with Worker("train", self._options("killed", to_be_killed=True)) as worker:
            for event in worker.events():
                last[event["event"]] = event
                self._show_step(event, last)
                if event["event"] == "ready":
                    code = worker.kill()
                    self._end_stage(title, f"killed in epoch {event['epoch']}, step {event['step']}", complete=False)
                    return event, code
        raise CheckFailed("the training ended before it could be killed; give it more epochs")

    def _show_step(self, event: Event, last: dict[str, Event]) -> None:
        if event["event"] == "begin":
            self.stages.update(event["done"], total=event["total"])
        elif event["event"] == "step":
            self.stages.update(event["done"], f"epoch {event['epoch']}, loss {event['loss']:.3f}")
        elif event["event"] == "restored":
            self.stages.update(0, f"from {event['file']}")

    def _end_stage(self, title: str, note: str, *, complete: bool = True) -> None:
        self.times.append(Stage(title, self.stages.finish(note, complete=complete), note))

    def _check(self, name: str, ok: bool, detail: str) -> None:
        self.checks.append(Check(name, "passed" if ok else "failed", detail))

    def _judge_training(self, reference: dict[str, Event], ready: Event, code: int, resumed: dict[str, Event]) -> None:
        batches = ready["batches"]
        self._check(
            "training killed in the middle of an epoch",
            code == -signal.SIGKILL and 0 < ready["step"] < batches,
            f"exit code {code} (SIGKILL) after epoch {ready['epoch']}, step {ready['step']} of {batches}",
        )
        restored = resumed.get("restored")
        place = (restored["epoch"], restored["step"]) if restored else (0, 0)
        self._check(
            "resumed from the newest checkpoint, in mid-epoch",
            0 < place[1] < batches and (1, 0) < place <= (ready["epoch"], ready["step"]),
            f"{restored['file']}: epoch {place[0]}, step {place[1]} of {batches}" if restored else "it started afresh",
        )
        one, two = reference["trained"]["hash"], resumed["trained"]["hash"]
        self._check(
            "same bits at the end as without interruption",
            one == two,
            f"SHA-256 of weights and optimizer state: {one[:16]}…"
            + (" in both" if one == two else f" and {two[:16]}…"),
        )

    def _prove(self, trained_accuracy: float) -> float:
        """Loads the checkpoint, exports the network and judges the files; returns the accuracy."""
        title = "Load into a fresh network"
        accuracy = 0.0
        self.stages.start(title)
        with Worker("prove", self._options("killed", out=str(self.folder), formats=self.formats)) as worker:
            for event in worker.events():
                if event["event"] == "loaded":
                    accuracy = event["accuracy"]
                    self._end_stage(title, f"{event['file']}, accuracy {accuracy:.1%}")
                    self._judge_accuracy(event, trained_accuracy)
                elif event["event"] == "exporting":
                    title = f"Export and prove {event['format']}"
                    self.stages.start(title)
                elif event["event"] == "exported":
                    self.exports.append(_export(event["report"], event["verification"]))
                    self._end_stage(title, self.exports[-1].proof)
        return accuracy

    def _judge_accuracy(self, loaded: Event, trained_accuracy: float) -> None:
        accuracy = loaded["accuracy"]
        self._check(
            "same accuracy after loading into a fresh network",
            accuracy == trained_accuracy,
            f"{accuracy:.2%} after loading {loaded['file']}, {trained_accuracy:.2%} after training",
        )
        self._check(
            f"over {GOOD_ACCURACY:.0%} of the test images right (chance: 10%)",
            accuracy > GOOD_ACCURACY,
            f"{accuracy:.2%} of 360",
        )


def _milliseconds(saved: Sequence[Event]) -> str:
    return f"{sum(e['ms'] for e in saved) / len(saved):.0f}" if saved else "-"


def _export(report: dict[str, Any], verification: dict[str, Any]) -> Export:
    """Returns the line of the table for one exported file."""
    parity = report["parity"]
    outputs = parity["outputs"]
    proof = parity["runner"]
    if report["format"] == "AIR":
        proof += " after lifting"
    operators = next((c for c in verification["checks"] if c["name"] == "operators"), None)
    if operators is not None:
        proof += f"; operator table {'ok' if operators['status'] == 'passed' else operators['status']}"
    return Export(
        format=report["format"],
        file=Path(report["path"]).name,
        nbytes=report["nbytes"],
        seconds=report["seconds"],
        proof_seconds=parity["seconds"],
        max_abs=max(float(o["max_abs"]) for o in outputs),
        max_rel=max(float(o["max_rel"]) for o in outputs),
        cosine=min(float(o["cosine"]) for o in outputs),
        proof=proof,
        ok=all(not o["problem"] for o in outputs) and verification["ok"],
    )
