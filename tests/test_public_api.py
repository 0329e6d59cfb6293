"""The public names and signatures, frozen: a later version may add, never change or remove."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import subprocess
import sys

import pytest

import mindport

NAMES = {
    "mindport": {"MindportError", "Model", "Tensor", "__version__", "convert", "inspect", "open", "verify"},
    "mindport.train.callback": {
        "Callback",
        "CheckpointConfig",
        "LossMonitor",
        "ModelCheckpoint",
        "ProgressBar",
        "RunContext",
        "TimeMonitor",
    },
    "mindport.train.serialization": {"export", "load_checkpoint", "load_param_into_net", "save_checkpoint"},
}

SIGNATURES = {
    "mindport.open": "(path)",
    "mindport.inspect": "(path)",
    "mindport.verify": "(path)",
    "mindport.convert": "(src, dst, *, to=None, check=True, overwrite=True)",
    "mindport.Tensor": "(input_data, dtype=None, name='')",
    "mindport.Model": "(network, loss_fn=None, optimizer=None, metrics=None, *, scheduler=None, scaler=None)",
    "mindport.Model.train": "(self, epoch, train_dataset, callbacks=None, *, resume=False)",
    "mindport.train.callback.ModelCheckpoint": "(prefix='CKP', directory=None, config=None)",
    "mindport.train.callback.CheckpointConfig": (
        "(save_checkpoint_steps=1, save_checkpoint_seconds=0, keep_checkpoint_max=5, keep_checkpoint_per_n_minutes=0)"
    ),
    "mindport.train.serialization.load_checkpoint": "(ckpt_file_name)",
    "mindport.train.serialization.load_param_into_net": "(net, parameter_dict)",
    "mindport.train.serialization.save_checkpoint": "(save_obj, ckpt_file_name)",
    "mindport.train.serialization.export": "(net, *inputs, file_name, file_format='AIR')",
}

CALLBACK_METHODS = ("begin", "epoch_begin", "step_begin", "step_end", "epoch_end", "end")


def find(path: str) -> object:
    """The object a user gets by that dotted name: attributes first, as Python does, modules where there is none."""
    first, *rest = path.split(".")
    found: object = importlib.import_module(first)
    for name in rest:
        first += f".{name}"
        found = getattr(found, name) if hasattr(found, name) else importlib.import_module(first)
    return found


def call_form(function: object) -> list[tuple[str, str, object]]:
    return [
        (p.name, p.kind.name, p.default)
        for p in inspect.signature(function).parameters.values()  # type: ignore[arg-type]
    ]


def frozen_form(text: str) -> list[tuple[str, str, object]]:
    scope: dict[str, object] = {}
    exec(f"def frozen{text}: ...", scope)
    return call_form(scope["frozen"])


@pytest.mark.parametrize("module", NAMES)
def test_public_names(module: str) -> None:
    loaded = importlib.import_module(module)
    assert set(loaded.__all__) == NAMES[module]
    assert all(getattr(loaded, name) is not None for name in NAMES[module])


@pytest.mark.parametrize("path", SIGNATURES)
def test_frozen_signatures(path: str) -> None:
    """The frozen parameters come first, in order and with their defaults; later ones must be optional."""
    now, frozen = call_form(find(path)), frozen_form(SIGNATURES[path])
    positional = [p for p in frozen if p[1] == "POSITIONAL_OR_KEYWORD"]
    assert [p for p in now if p[1] == "POSITIONAL_OR_KEYWORD"][: len(positional)] == positional
    assert all(p in now for p in frozen)
    added = [p for p in now if p not in frozen and p[1] not in {"VAR_POSITIONAL", "VAR_KEYWORD"}]
    assert all(p[2] is not inspect.Parameter.empty for p in added), added


@pytest.mark.parametrize("method", CALLBACK_METHODS)
def test_callback_methods(method: str) -> None:
    callback = find("mindport.train.callback.Callback")
    assert list(inspect.signature(getattr(callback, method)).parameters) == ["self", "run_context"]


def test_names_come_on_first_use_and_unknown_ones_are_refused() -> None:
    code = (
        "import sys, mindport; assert 'mindport.tensors' not in sys.modules;"
        "mindport.Tensor; assert 'mindport.tensors' in sys.modules;"
        "print(sorted(dir(mindport)) == sorted(mindport.__all__))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "True"), done.stderr
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = mindport.nonsense


def test_no_module_takes_the_name_of_a_public_function() -> None:
    # importing it would put the module in the function's place
    for name in mindport.__all__:
        if not name.startswith("_"):
            assert importlib.util.find_spec(f"mindport.{name}") is None, name
