"""The position in the training data, so that a resumed run sees exactly the batches that were still to come.

A shuffle cannot be stored, but it can be made again: the state of all random number generators at the start of the
epoch gives the same order, and the batches already trained on are passed over. Then the random numbers are put
where they were when the checkpoint was saved. A loader with `state_dict` and `load_state_dict` is asked instead.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import xxhash

from mindport.adapters.base import framework_tensor
from mindport.adapters.torch_state import compact, random_problems, random_state, set_random_state
from mindport.errors import StateMismatch, UsageError, WrongTypeError
from mindport.extras import need
from mindport.tensors import ArrayRef

__all__ = ["DataPosition", "batch_count", "fingerprint"]


def batch_count(dataset: Any) -> int | None:
    """Returns how many batches an epoch has, or None when the dataset does not know."""
    try:
        return len(dataset)
    except (TypeError, NotImplementedError):  # the latter is how torch's own samplers used to say it
        return None


class DataPosition:
    """Where a run is in its data.

    Args:
        dataset: an iterable that starts anew each time it is iterated; `torch.utils.data.DataLoader` for example.

    Raises:
        WrongTypeError: it is not iterable.
        UsageError: it is an iterator, which can be run through only once.
    """

    def __init__(self, dataset: Iterable[Any]) -> None:
        if not hasattr(dataset, "__iter__") and not hasattr(dataset, "__getitem__"):
            raise WrongTypeError(f"the dataset must be an iterable of (data, label), not {type(dataset).__name__}")
        if hasattr(dataset, "__next__"):
            raise UsageError("the dataset is an iterator, which ends after one epoch; give an iterable, such as a list")
        self.dataset = dataset
        self.consumed = 0
        self.inexact = ""
        """Why the data after a resume are not those of an uninterrupted run, in words; empty when they are."""
        self.drew = False
        """True when random numbers were drawn between `state` and the next batch, which that state cannot know."""
        self._replay: dict[str, Any] = {}
        self._given = _Given()
        self._saved = ""
        self._resumed: dict[str, Any] | None = None
        self._keeps_state = hasattr(dataset, "state_dict") and hasattr(dataset, "load_state_dict")

    def generators(self) -> dict[str, Any]:
        """Returns the loader's own torch generators: those of the loader, its sampler and its batch sampler."""
        torch = need("torch")
        sampler = getattr(self.dataset, "sampler", None)
        batch_sampler = getattr(self.dataset, "batch_sampler", None)
        places = {
            "loader": self.dataset,
            "sampler": sampler,
            "batch_sampler": batch_sampler,
            "batch_sampler.sampler": getattr(batch_sampler, "sampler", None),
            "dataset": getattr(self.dataset, "dataset", None),
        }
        found: dict[str, Any] = {}
        for label, owner in places.items():
            generator = getattr(owner, "generator", None)
            if isinstance(generator, torch.Generator) and all(generator is not g for g in found.values()):
                found[label] = generator
        return found

    def state(self) -> dict[str, Any]:
        """Returns the position as a tree for the checkpoint."""
        now = compact(random_state(self.generators()))
        self._saved = fingerprint(now)
        state: dict[str, Any] = {"consumed": self.consumed, "now": now}
        if self._keeps_state:
            state["loader"] = self.dataset.state_dict()  # type: ignore[attr-defined]
        else:
            replay = {key: compact(value) if isinstance(value, dict) else value for key, value in self._replay.items()}
            state |= replay | {"batches": batch_count(self.dataset), "last": self._given.digest()}
        return state

    def problems(self, state: dict[str, Any]) -> list[str]:
        """Returns why `state` does not fit this dataset and machine, in words; an empty list when it does."""
        if ("loader" in state) != self._keeps_state:
            kinds = ("without", "with") if self._keeps_state else ("with", "without")
            return [f"data: the checkpoint is of a loader {kinds[0]} a state_dict, here is one {kinds[1]}"]
        problems = random_problems(state["now"], self.generators())
        if not self._keeps_state and state["batches"] != batch_count(self.dataset):
            problems.append(
                f"data: an epoch had {state['batches']} batches when the checkpoint was saved, here it has "
                f"{batch_count(self.dataset)}; the position in it cannot be restored"
            )
        return problems

    def load(self, state: dict[str, Any]) -> None:
        """Makes the next `epoch` go on from `state`, in which `problems` finds none."""
        self._resumed = state

    def epoch(self, number: int) -> Generator[Any, None, None]:
        """Yields the batches of epoch `number` (from 1) that are still to come, and counts them."""
        self._tell_epoch(number)
        if self._resumed is None:
            self.consumed = 0
            self._replay = {"epoch_start": self._random(), "warm": self._has_workers()}
            batches = iter(self.dataset)
        else:
            state, self._resumed = self._resumed, None
            batches = self._skip(state)
            self.consumed = state["consumed"]
            set_random_state(state["now"], self.generators())
        while True:
            self._replay["before_last"] = self._random()
            self._compare_random()
            try:
                batch = next(batches)
            except StopIteration:
                return
            self.consumed += 1
            if not self._keeps_state:
                self._given.take(batch)
            yield batch
            self._given.look()

    def _random(self) -> dict[str, Any]:
        """Returns the state of all random numbers; nothing when the loader keeps its own position."""
        return {} if self._keeps_state else random_state(self.generators())

    def _compare_random(self) -> None:
        """Notes whether random numbers were drawn since the last `state`."""
        if self._saved:
            self.drew = self._saved != fingerprint(compact(random_state(self.generators())))
            self._saved = ""

    def _has_workers(self) -> bool:
        """True when the loader's worker processes live from an earlier pass over the data (`persistent_workers`)."""
        return bool(getattr(self.dataset, "persistent_workers", False) and getattr(self.dataset, "_iterator", None))

    def _skip(self, state: dict[str, Any]) -> Iterator[Any]:
        """Returns the loader's iterator after the batches that were trained on."""
        if self._keeps_state:
            self.dataset.load_state_dict(state["loader"])  # type: ignore[attr-defined]
            return iter(self.dataset)
        self._replay = {key: state[key] for key in ("epoch_start", "warm", "before_last")}
        if state["warm"] and not self._has_workers():
            iter(self.dataset)  # starting the workers draws a random number, which the epoch itself did not
        set_random_state(state["epoch_start"], self.generators())
        batches = iter(self.dataset)
        # also when no batch is left: a sampler may draw random numbers when it ends (RandomSampler does)
        for done in range(state["consumed"]):
            if done == state["consumed"] - 1:
                set_random_state(state["before_last"], self.generators())  # what training drew lies between the two
            try:
                batch = next(batches)
            except StopIteration:
                raise StateMismatch(
                    f"data: the checkpoint was saved after {state['consumed']} batches of its epoch, the dataset has "
                    f"only {done}"
                ) from None
        if state["consumed"]:
            self._given.take(batch)
        if state["consumed"] and state["last"] and fingerprint(batch) != state["last"]:
            self.inexact = (
                f"data: batch {state['consumed']} of the epoch is not the one that was trained on; the order or "
                "content of the data depends on something beside Python's, NumPy's and torch's random numbers"
            )
        return batches

    def _tell_epoch(self, number: int) -> None:
        """Calls `set_epoch` (of `DistributedSampler` and its like, which count from 0) wherever there is one."""
        batch_sampler = getattr(self.dataset, "batch_sampler", None)
        sampler, inner = getattr(self.dataset, "sampler", None), getattr(batch_sampler, "sampler", None)
        owners: list[Any] = [self.dataset, sampler, batch_sampler, inner]
        told: list[Any] = []
        for owner in owners:
            if hasattr(owner, "set_epoch") and all(owner is not t for t in told):
                owner.set_epoch(number - 1)
                told.append(owner)


class _Given:
    """The batch that was given last, as it was then: a network may change its input in place.

    Hashing every batch would cost time at each step, so one is hashed when it is asked for, if torch says that none of
    its tensors changed since. Once one did, and for memory that torch does not watch (NumPy), each is hashed at once.
    """

    def __init__(self) -> None:
        self._batch: Any = None
        self._versions: list[int] | None = None
        self._digest = ""
        self._at_once = False

    def take(self, batch: Any) -> None:
        """Keeps a batch that is about to be trained on."""
        self._batch, self._versions = batch, _versions(batch)
        self._digest = fingerprint(batch) if self._at_once or self._versions is None else ""

    def look(self) -> None:
        """Learns whether training changed the batch."""
        self._at_once = self._at_once or (self._versions is not None and _versions(self._batch) != self._versions)

    def digest(self) -> str:
        """Returns the batch's fingerprint; empty when it was changed before anyone knew that this can happen."""
        if self._digest:
            return self._digest
        return fingerprint(self._batch) if _versions(self._batch) == self._versions else ""


def _versions(value: Any) -> list[int] | None:
    """Returns how often each tensor of a batch was changed in place; None if something in it cannot tell."""
    torch = need("torch")
    if isinstance(value, torch.Tensor):
        return None if value.is_inference() else [value._version]
    if isinstance(value, (list, tuple, Mapping)):
        parts = [_versions(item) for item in (value.values() if isinstance(value, Mapping) else value)]
        return None if any(part is None for part in parts) else [v for part in parts for v in part or ()]
    return None if hasattr(value, "__array__") else []


def fingerprint(batch: Any) -> str:
    """Returns a hash of all numbers and texts in a batch."""
    digest = xxhash.xxh3_128()
    _feed(digest, batch)
    return digest.hexdigest()


def _feed(digest: Any, value: Any) -> None:
    torch = need("torch")
    if isinstance(value, torch.Tensor) and value.is_nested:
        _feed(digest, value.unbind())
        return
    if isinstance(value, torch.Tensor) and (value.layout is not torch.strided or value.is_quantized):
        digest.update(f"{value.dtype}{value.layout}{tuple(value.shape)}".encode())  # content no file could hold
        return
    ref = framework_tensor("", value) if not isinstance(value, np.ndarray) else ArrayRef("", value)
    if ref is not None:
        digest.update(f"{ref.dtype.name}{ref.shape}".encode())
        for chunk in ref.chunks():
            digest.update(chunk)
    elif isinstance(value, (list, tuple)):
        for item in value:
            _feed(digest, item)
    elif isinstance(value, Mapping):
        for key, item in value.items():
            digest.update(repr(key).encode())
            _feed(digest, item)
    elif isinstance(value, (str, bytes, int, float, complex, type(None))):
        digest.update(repr(value).encode())
