"""`Callback`, `RunContext` and the list that calls several."""

from __future__ import annotations

from typing import Any

import pytest

from mindport.errors import WrongTypeError
from mindport.train.callback.base import Callback, CallbackList, RunContext, RunParameters

PAIRS = {
    "begin": "begin",
    "epoch_begin": "epoch_begin",
    "epoch_end": "epoch_end",
    "step_begin": "step_begin",
    "step_end": "step_end",
    "end": "end",
}


@pytest.mark.parametrize("phase", ["train", "eval"])
@pytest.mark.parametrize("name", PAIRS)
def test_later_names_call_the_former_ones(phase: str, name: str) -> None:
    seen: list[Any] = []
    callback = Callback()
    setattr(callback, name, seen.append)
    context = RunContext(RunParameters())
    getattr(callback, f"on_{phase}_{name}")(context)
    assert seen == [context]


@pytest.mark.parametrize("name", PAIRS)
def test_the_defaults_do_nothing(name: str) -> None:
    assert getattr(Callback(), name)(RunContext(RunParameters())) is None


def test_run_context() -> None:
    parameters = RunParameters(epoch_num=10)
    context = RunContext(parameters)
    assert context.original_args() is parameters
    assert context.get_stop_requested() is False
    context.request_stop()
    assert context.get_stop_requested() is True
    for wrong in (None, {}, "args", [1]):
        with pytest.raises(TypeError):
            RunContext(wrong)  # type: ignore[arg-type]


def test_parameters_read_as_attributes() -> None:
    parameters = RunParameters(a=1)
    parameters.b = 2
    parameters["c"] = 3
    assert (parameters.a, parameters.b, parameters.c, parameters["b"], parameters.absent) == (1, 2, 3, 2, None)
    with pytest.raises(AttributeError):
        parameters.__array__


class Both(Callback):
    def __init__(self, log: list[Any], name: str, *, fail_enter: bool = False, fail_exit: bool = False) -> None:
        self.log, self.name, self.fail_enter, self.fail_exit = log, name, fail_enter, fail_exit

    def __enter__(self) -> Any:
        if self.fail_enter:
            raise KeyError(self.name)
        self.log.append(("enter", self.name))
        return self

    def __exit__(self, *exc: object) -> None:
        self.log.append(("exit", self.name, exc[0]))
        if self.fail_exit:
            raise LookupError(self.name)

    def begin(self, run_context: RunContext) -> None:
        self.log.append(("begin", self.name))


def test_list_order_is_call_order_and_exit_comes_in_reverse() -> None:
    log: list[Any] = []
    with CallbackList([Both(log, "a"), Both(log, "b")]) as callbacks:
        callbacks.call("begin", RunContext(RunParameters()))
    assert log == [
        ("enter", "a"), ("enter", "b"), ("begin", "a"), ("begin", "b"), ("exit", "b", None), ("exit", "a", None),
    ]  # fmt: skip


def test_exit_is_called_once_with_the_error() -> None:
    log: list[Any] = []
    with pytest.raises(ZeroDivisionError), CallbackList([Both(log, "a"), Both(log, "b")]):
        _ = 1 / 0
    assert [entry for entry in log if entry[0] == "exit"] == [
        ("exit", "b", ZeroDivisionError),
        ("exit", "a", ZeroDivisionError),
    ]


def test_all_are_left_even_when_one_of_them_fails() -> None:
    log: list[Any] = []
    with pytest.raises(LookupError, match="b"), CallbackList([Both(log, "a"), Both(log, "b", fail_exit=True)]):
        pass
    assert [e[1] for e in log if e[0] == "exit"] == ["b", "a"]
    log.clear()
    with pytest.raises(KeyError), CallbackList([Both(log, "a"), Both(log, "b", fail_enter=True)]):
        pass
    assert log == [("enter", "a"), ("exit", "a", KeyError)]


def test_a_callback_whose_run_is_going_on_is_not_entered_again() -> None:
    log: list[Any] = []
    a, b = Both(log, "a"), Both(log, "b")
    with CallbackList([a]):
        with CallbackList([a, b]):
            pass
        assert log == [("enter", "a"), ("enter", "b"), ("exit", "b", None)]
    with CallbackList([a]):
        pass
    assert log[3:] == [("exit", "a", None), ("enter", "a"), ("exit", "a", None)]


def test_one_callback_or_none() -> None:
    callback = Callback()
    assert list(CallbackList(callback)) == [callback]
    assert list(CallbackList(None)) == []
    assert list(CallbackList((callback, callback))) == [callback, callback]


@pytest.mark.parametrize("wrong", [[None], ["Error"], [Callback(), "Error", None], "x", 5, Callback, [Callback]])
def test_build_callbacks(wrong: Any) -> None:
    with pytest.raises(TypeError) as caught:
        CallbackList(wrong)
    assert isinstance(caught.value, WrongTypeError)
