"""`CheckpointConfig`: the tutorial's numbers, checked, and the rules they stand for."""

from __future__ import annotations

from typing import Any

from mindport.checkpoint.policy import Keep, When, tutorial_policies
from mindport.errors import Unsupported, UsageError, WrongTypeError, printable

__all__ = ["CheckpointConfig"]

# what later MindSpore releases take too: name -> the one value that changes nothing here
_LATER: dict[str, Any] = {
    "async_save": False,
    "saved_network": None,
    "enc_key": None,
    "enc_mode": "AES-GCM",
    "exception_save": False,
    "remove_redundancy": False,
    "format": "ckpt",
}
_WHY = {
    "enc_key": "pruning and resuming read the end of each file, which would be encrypted; save_checkpoint encrypts one",
    "format": "the state of a run does not fit into another format; mindport.convert writes a checkpoint's parameters",
}


class CheckpointConfig:
    """When to save checkpoints and which to keep. 0 or None cancels a policy.

    Args:
        save_checkpoint_steps: save each so many steps, counted across epochs.
        save_checkpoint_seconds: save each so many seconds; ignored when steps are given (their default is 1).
        keep_checkpoint_max: keep the newest so many files.
        keep_checkpoint_per_n_minutes: keep one file for each so many minutes; ignored when a maximum is given.
        integrated_save: taken for compatibility; a PyTorch network is always saved whole.
        append_info: further values for each file: ``"epoch_num"``, ``"step_num"``, and at most one dict of numbers,
            texts and tensors by name.
        crc_check: append MindSpore's CRC trailer, so that MindSpore can check the file too. mindport's own checksums
            are always there.
        **options: further options of MindSpore 2.10, as far as they ask for nothing mindport does not do yet.

    The last step is saved when training ends normally, whatever the policies say. With both save policies cancelled it
    is the only one; with both keep policies cancelled all files stay.

    Raises:
        WrongTypeError: a value has the wrong type.
        UsageError: a number is negative, all four policies are cancelled, or an option is unknown.
        Unsupported: an option asks for something mindport does not do.
    """

    def __init__(
        self,
        save_checkpoint_steps: int | None = 1,
        save_checkpoint_seconds: int | None = 0,
        keep_checkpoint_max: int | None = 5,
        keep_checkpoint_per_n_minutes: int | None = 0,
        integrated_save: bool = True,
        *,
        append_info: list[Any] | None = None,
        crc_check: bool = False,
        **options: Any,
    ) -> None:
        self._policies = tutorial_policies(
            save_checkpoint_steps, save_checkpoint_seconds, keep_checkpoint_max, keep_checkpoint_per_n_minutes
        )
        if not isinstance(integrated_save, bool):
            raise WrongTypeError(f"integrated_save must be a bool, not {type(integrated_save).__name__}")
        if not isinstance(crc_check, bool):
            raise WrongTypeError(f"crc_check must be a bool, not {type(crc_check).__name__}")
        for name, value in options.items():
            _check_later(name, value)
        self._steps, self._seconds = save_checkpoint_steps, save_checkpoint_seconds
        self._max, self._minutes = keep_checkpoint_max, keep_checkpoint_per_n_minutes
        if self._steps:
            self._seconds = None
        if self._max:
            self._minutes = None
        self._integrated_save = integrated_save
        self._append_info = _checked_append_info(append_info)
        self._crc_check = crc_check

    def policies(self) -> tuple[When, Keep]:
        """Returns the save rule and the keep rule."""
        return self._policies

    @property
    def save_checkpoint_steps(self) -> int | None:
        """Steps between two saves."""
        return self._steps

    @property
    def save_checkpoint_seconds(self) -> int | None:
        """Seconds between two saves; None when steps decide."""
        return self._seconds

    @property
    def keep_checkpoint_max(self) -> int | None:
        """How many files to keep."""
        return self._max

    @property
    def keep_checkpoint_per_n_minutes(self) -> int | None:
        """Minutes for each of which one file is kept; None when the maximum decides."""
        return self._minutes

    @property
    def integrated_save(self) -> bool:
        """As given; a PyTorch network is always saved whole."""
        return self._integrated_save

    @property
    def crc_check(self) -> bool:
        """Whether each file gets MindSpore's CRC trailer."""
        return self._crc_check

    @property
    def append_info(self) -> tuple[Any, ...]:
        """Further values for each file."""
        return self._append_info

    def get_checkpoint_policy(self) -> dict[str, Any]:
        """Returns the four numbers after the precedence rules, by MindSpore's names."""
        return {
            "save_checkpoint_steps": self._steps,
            "save_checkpoint_seconds": self._seconds,
            "keep_checkpoint_max": self._max,
            "keep_checkpoint_per_n_minutes": self._minutes,
            "saved_network": None,
        }


def _check_later(name: str, value: Any) -> None:
    if name not in _LATER:
        raise UsageError(f"CheckpointConfig has no option {printable(name)!r}")
    neutral = _LATER[name]
    if value is neutral or (type(value) is type(neutral) and value == neutral):
        return
    if isinstance(neutral, bool) and not isinstance(value, (bool, str)):
        raise WrongTypeError(f"{name} must be a bool, not {type(value).__name__}")
    shown = "..." if name == "enc_key" else repr(value)  # a key must not get into logs
    why = f": {_WHY[name]}" if name in _WHY else ""
    raise Unsupported(f"CheckpointConfig({name}={shown}) is not supported; only {neutral!r} is{why}")


def _checked_append_info(append_info: Any) -> tuple[Any, ...]:
    if append_info is None:
        return ()
    if not isinstance(append_info, list):
        raise WrongTypeError(f"append_info must be a list, not {type(append_info).__name__}")
    dicts = 0
    for item in append_info:
        if isinstance(item, str):
            if item not in ("epoch_num", "step_num"):
                raise UsageError(f'append_info knows "epoch_num" and "step_num", not {printable(item)!r}')
        elif isinstance(item, dict):
            dicts += 1
            if not all(isinstance(key, str) for key in item):
                raise WrongTypeError("the names in append_info must be texts")
        else:
            raise WrongTypeError(f"append_info holds texts and one dict, not {type(item).__name__}")
    if dicts > 1:
        raise WrongTypeError("append_info takes one dict only")
    return tuple(append_info)
