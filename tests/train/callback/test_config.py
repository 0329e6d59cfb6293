"""`CheckpointConfig`: the four numbers, their precedence and checks; further options by name."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mindport.checkpoint.policy import All, AnyOf, EverySeconds, EverySteps, Final, Latest, OnePerMinutes
from mindport.errors import Unsupported, UsageError, WrongTypeError
from mindport.train.callback import CheckpointConfig

EACH = AnyOf(EverySteps(1), Final())


def test_the_four_parameters_and_their_defaults() -> None:
    config = CheckpointConfig()
    assert config.get_checkpoint_policy() == {
        "save_checkpoint_steps": 1,
        "save_checkpoint_seconds": None,
        "keep_checkpoint_max": 5,
        "keep_checkpoint_per_n_minutes": None,
        "saved_network": None,
    }
    assert config.policies() == (EACH, Latest(5))


@pytest.mark.parametrize(
    ("numbers", "policies"),
    [
        ((32, 0, 10, 0), (AnyOf(EverySteps(32), Final()), Latest(10))),
        ((32, 60, 10, 0), (AnyOf(EverySteps(32), Final()), Latest(10))),  # steps beat seconds
        ((None, 60, 10, 0), (AnyOf(EverySeconds(60), Final()), Latest(10))),
        ((0, 60, 10, 0), (AnyOf(EverySeconds(60), Final()), Latest(10))),
        ((1, 0, 10, 7), (EACH, Latest(10))),  # max beats per-minutes
        ((1, 0, None, 7), (EACH, OnePerMinutes(7))),
        ((1, 0, 0, 7), (EACH, OnePerMinutes(7))),
        ((1, 0, None, 0), (EACH, All())),  # None cancels: all files are kept
        ((1, 0, 0, None), (EACH, All())),
        ((None, None, 5, 0), (Final(), Latest(5))),  # both save policies cancelled: only what `end` must
        ((0, 0, None, 3), (Final(), OnePerMinutes(3))),
    ],
)
def test_precedence(numbers: tuple[Any, ...], policies: Any) -> None:
    assert CheckpointConfig(*numbers).policies() == policies


@pytest.mark.parametrize("numbers", [(0, 0, 0, 0), (0, None, 0, 0), (None, None, None, None)])
def test_all_four_cancelled_is_an_error(numbers: tuple[Any, ...]) -> None:
    with pytest.raises(ValueError):
        CheckpointConfig(*numbers)


@pytest.mark.parametrize("index", range(4))
@pytest.mark.parametrize(
    ("value", "error"), [(-1, ValueError), (1.0, TypeError), ("1", TypeError), (True, TypeError), ([], TypeError)]
)
def test_types_and_values_are_checked(index: int, value: Any, error: type[Exception]) -> None:
    numbers: list[Any] = [1, 1, 1, 1]
    numbers[index] = value
    with pytest.raises(error) as caught:
        CheckpointConfig(*numbers)
    assert isinstance(caught.value, UsageError)


def test_properties_after_precedence() -> None:
    config = CheckpointConfig(3, 60, 4, 5, False)
    assert (config.save_checkpoint_steps, config.save_checkpoint_seconds) == (3, None)
    assert (config.keep_checkpoint_max, config.keep_checkpoint_per_n_minutes) == (4, None)
    assert config.integrated_save is False


@pytest.mark.parametrize(
    "neutral",
    [
        {"async_save": False, "saved_network": None, "enc_key": None, "enc_mode": "AES-GCM"},
        {"exception_save": False, "crc_check": False, "remove_redundancy": False, "format": "ckpt"},
        {"append_info": None, "integrated_save": True},
        {"append_info": []},
    ],
)
def test_later_options_that_ask_for_nothing_are_taken(neutral: dict[str, Any]) -> None:
    assert CheckpointConfig(**neutral).policies() == (EACH, Latest(5))


@pytest.mark.parametrize(
    "option",
    [
        {"async_save": True},
        {"async_save": "thread"},
        {"saved_network": object()},
        {"enc_key": b"0123456789abcdef"},
        {"exception_save": True},
        {"remove_redundancy": True},
        {"format": "safetensors"},
    ],
)
def test_later_options_that_do_not_work_say_so(option: dict[str, Any]) -> None:
    with pytest.raises(Unsupported, match=next(iter(option))):
        CheckpointConfig(**option)


@pytest.mark.parametrize(
    ("option", "error"),
    [
        ({"integrated_save": 1}, WrongTypeError),
        ({"async_save": 1}, WrongTypeError),
        ({"crc_check": 0}, WrongTypeError),
        ({"crc_check": "yes"}, WrongTypeError),
        ({"crc_check": None}, WrongTypeError),
        ({"unheard_of": 1}, UsageError),
        ({"append_info": "epoch_num"}, WrongTypeError),
        ({"append_info": ["epochs"]}, UsageError),
        ({"append_info": [1]}, WrongTypeError),
        ({"append_info": [{"a": 1}, {"b": 2}]}, WrongTypeError),
        ({"append_info": [{1: 1}]}, WrongTypeError),
    ],
)
def test_wrong_options(option: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        CheckpointConfig(**option)


def test_a_refused_option_says_why_and_never_shows_a_key() -> None:
    with pytest.raises(Unsupported, match="save_checkpoint encrypts one") as caught:
        CheckpointConfig(enc_key=b"0123456789abcdef")
    assert "0123456789abcdef" not in str(caught.value)
    with pytest.raises(Unsupported, match=r"mindport\.convert"):
        CheckpointConfig(format="safetensors")


def test_crc_check_is_kept() -> None:
    assert CheckpointConfig(crc_check=True).crc_check is True
    assert CheckpointConfig().crc_check is False


def test_append_info_is_kept() -> None:
    info = ["epoch_num", {"lr": np.float32(0.5)}]
    assert CheckpointConfig(append_info=info).append_info == tuple(info)
