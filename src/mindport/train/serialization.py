"""`save_checkpoint`, `load_checkpoint`, `load_param_into_net`, `export`: MindSpore's names and argument order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from os import PathLike, fspath
from pathlib import Path
from typing import Any

import numpy as np

from mindport.adapters.base import adapter_for, is_network
from mindport.checkpoint.match import Match, match
from mindport.checkpoint.snapshot import refuse_reserved
from mindport.errors import CorruptFile, NotAFile, Unsupported, UsageError, WrongTypeError, printable
from mindport.events import log
from mindport.extras import load
from mindport.formats import ckpt, safetensors, sniff
from mindport.formats.mapped import head_of
from mindport.storage.atomic import commit
from mindport.tensors import Tensor, TensorRef, as_ref

__all__ = ["export", "load_checkpoint", "load_param_into_net", "save_checkpoint"]

Choice = Callable[[str], bool]


def save_checkpoint(
    save_obj: Any,
    ckpt_file_name: str | PathLike[str],
    integrated_save: bool = True,
    async_save: bool | str = False,
    append_dict: Mapping[str, Any] | None = None,
    enc_key: bytes | None = None,
    enc_mode: str = "AES-GCM",
    choice_func: Choice | None = None,
    crc_check: bool = False,
    format: str = "ckpt",  # noqa: A002 - MindSpore's name
) -> None:
    """Writes a `.ckpt` file and makes it durable; an existing file is replaced as a whole.

    Args:
        save_obj: a `torch.nn.Module` (parameters and persistent buffers, by their `state_dict` names), a mapping from
            names to arrays, tensors or texts, or a list of ``{"name": ..., "data": ...}``.
        ckpt_file_name: the file; ``.ckpt`` (``.safetensors``) is added unless the name ends with ``ckpt``
            (``safetensors``). Its directory must exist.
        integrated_save: taken for compatibility; a PyTorch network is always saved whole.
        async_save: only False.
        append_dict: further values: numbers, texts, tensors. One of a parameter's name replaces that parameter.
        enc_key: encrypt the file with this key (AES: 16, 24 or 32 bytes; SM4: 16). Needs `cryptography`.
        enc_mode: ``"AES-GCM"``, ``"AES-CBC"`` or ``"SM4-CBC"``. Only GCM notices that somebody changed the file.
        choice_func: called with each name; says whether to save it. `append_dict` is always saved.
        crc_check: append MindSpore's CRC trailer (safetensors: its ``crc_num``). A `.ckpt` always has mindport's own
            checksums; a `.safetensors` file has no other.
        format: ``"ckpt"``, or ``"safetensors"``, which holds tied tensors under each of their names, texts as metadata,
            and is never encrypted. `mindport.convert` writes others.

    Raises:
        WrongTypeError, UsageError: an argument is of the wrong kind, a name comes twice or is reserved, a key does not
            fit its mode, or `enc_key` and `crc_check` come together (MindSpore cannot load such a file).
        Unsupported: an option, or a value that the format cannot hold.
        MissingExtra: encryption needs `cryptography`.
        StorageError: the file cannot be written; the former one is unchanged.
    """
    _check_bool("integrated_save", integrated_save)
    _check_bool("crc_check", crc_check)
    _only("async_save", async_save, False)
    for what, text in (("enc_mode", enc_mode), ("format", format)):
        if not isinstance(text, str):
            raise WrongTypeError(f"{what} must be a text, not {type(text).__name__}")
    if format not in ("ckpt", "safetensors"):
        raise Unsupported(f'format={format!r} is not supported; "ckpt" and "safetensors" are')
    if format == "safetensors" and enc_key is not None:
        raise Unsupported("a .safetensors file cannot be encrypted; use format='ckpt'")
    path = _with_suffix(ckpt_file_name, format)
    values, aliases = _values_of(save_obj)
    if choice_func is not None:
        values, aliases = _choose(choice_func, values, aliases)
    values |= _appended(append_dict)
    refuse_reserved(values)
    if not values:
        raise UsageError("there is nothing to save")
    if format == "safetensors":
        commit(path, safetensors.write(_plain(values, aliases), crc_check=crc_check))
        return
    info = {"aliases": aliases} if aliases else {}
    commit(path, ckpt.write(values, info=info, crc_check=crc_check, enc_key=enc_key, enc_mode=enc_mode))


def _plain(values: dict[str, Any], aliases: dict[str, str]) -> dict[str, Any]:
    """Returns what safetensors holds for them: tied tensors under each name, numbers with the types `.ckpt` gives."""
    plain = values | {alias: values[owner] for alias, owner in aliases.items() if alias not in values}
    return {name: np.float32(value) if type(value) is float else value for name, value in plain.items()}


def _check_bool(name: str, value: Any) -> None:
    if not isinstance(value, bool):
        raise WrongTypeError(f"{name} must be a bool, not {type(value).__name__}")


def _only(name: str, value: Any, supported: Any) -> None:
    if type(value) is not type(supported) or value != supported:
        raise Unsupported(f"{name}={value!r} is not supported; only {supported!r} is")


def _path_of(name: Any) -> str:
    if not isinstance(name, (str, PathLike)) or isinstance(fspath(name), bytes):
        raise WrongTypeError(f"ckpt_file_name must be a path, not {type(name).__name__}")
    path = fspath(name)
    if not path or "\0" in path:
        raise UsageError("ckpt_file_name must not be empty or hold a NUL character")
    return path


def _with_suffix(name: Any, suffix: str) -> str:
    path = _path_of(name)
    if Path(path).is_dir():
        raise NotAFile(f"{printable(path)} is a directory; a file name is needed", path=path)
    return path if path.endswith(suffix) else f"{path}.{suffix}"


def _values_of(save_obj: Any) -> tuple[dict[str, Any], dict[str, str]]:
    """Returns what to save by name, and the further names of tied tensors."""
    if is_network(save_obj):
        adapter = adapter_for(save_obj)
        return dict(adapter.weights(save_obj)), adapter.aliases(save_obj)
    if isinstance(save_obj, Mapping):
        pairs = list(save_obj.items())
    elif isinstance(save_obj, (list, tuple)):
        pairs = [_pair(i, item) for i, item in enumerate(save_obj)]
    else:
        raise WrongTypeError(
            'save_obj must be a torch.nn.Module, a mapping, or a list of {"name": ..., "data": ...}, not '
            f"{type(save_obj).__name__}"
        )
    values: dict[str, Any] = {}
    for name, value in pairs:
        if not isinstance(name, str):
            raise WrongTypeError(f"the name of a parameter must be a text, not {type(name).__name__}")
        if name in values:
            raise UsageError(f"the name {printable(name)!r} comes twice")
        values[name] = _storable(name, value)
    return values, {}


def _pair(index: int, item: Any) -> tuple[Any, Any]:
    if not isinstance(item, Mapping) or set(item) != {"name", "data"}:
        raise WrongTypeError(f'entry {index} of save_obj must be {{"name": ..., "data": ...}}, not {item!r:.60}')
    return item["name"], item["data"]


def _storable(name: str, value: Any) -> Any:
    if isinstance(value, (str, bool, int, float, ckpt.MapTensor)):
        return value
    if isinstance(value, Tensor):  # it may carry another name
        return value
    try:
        return as_ref(value, name)
    except WrongTypeError as exc:
        raise WrongTypeError(f"{printable(name)}: {exc}") from exc


def _appended(append_dict: Mapping[str, Any] | None) -> dict[str, Any]:
    if append_dict is None:
        return {}
    if not isinstance(append_dict, Mapping):
        raise WrongTypeError(f"append_dict must be a mapping, not {type(append_dict).__name__}")
    for name in append_dict:
        if not isinstance(name, str):
            raise WrongTypeError(f"the names in append_dict must be texts, not {type(name).__name__}")
    return {name: _storable(name, value) for name, value in append_dict.items()}


def _choose(
    choice_func: Choice, values: dict[str, Any], aliases: dict[str, str]
) -> tuple[dict[str, Any], dict[str, str]]:
    """Returns the chosen values; of tied tensors the first chosen name holds the content."""
    chosen: dict[str, Any] = {}
    further: dict[str, str] = {}
    for owner, value in values.items():
        names = [n for n in (owner, *(a for a, o in aliases.items() if o == owner)) if _chosen(choice_func, n)]
        if names:
            chosen[names[0]] = value
            further.update(dict.fromkeys(names[1:], names[0]))
    return chosen, further


def _chosen(choice_func: Choice, name: str) -> bool:
    try:
        return bool(choice_func(name))
    except Exception as exc:
        raise UsageError(f"choice_func failed for {printable(name)!r}: {type(exc).__name__}: {exc}") from exc


def load_checkpoint(
    ckpt_file_name: str | PathLike[str],
    net: Any = None,
    strict_load: bool = False,
    filter_prefix: str | Iterable[str] | None = None,
    dec_key: bytes | None = None,
    dec_mode: str = "AES-GCM",
    specify_prefix: str | Iterable[str] | None = None,
    choice_func: Choice | None = None,
    crc_check: bool = False,
    remove_redundancy: bool = False,
    format: str = "ckpt",  # noqa: A002 - MindSpore's name
) -> dict[str, Any]:
    """Returns the parameters of a `.ckpt` or `.safetensors` file of mindport or MindSpore, in file order.

    Which of the two it is, its content says; name and `format` play no part.

    A value is a `Tensor` (`numpy.asarray(value)` and `torch.as_tensor(numpy.asarray(value))` are views of the mapped
    file; writing to them changes memory only) or a `str`. All checksums are compared first. Tied tensors appear under
    each of their names. Optimizer state and what else a run needs to resume is left out; it has names that begin with
    ``__mindport__.``, and `specify_prefix="__mindport__."` asks for it.

    Args:
        ckpt_file_name: the file.
        net: also load the parameters into this network, as `load_param_into_net` does.
        strict_load: for `net`: convert no dtypes and look for no prefixes.
        filter_prefix: leave out names that begin with this, or with one of these.
        dec_key: key of an encrypted file. Such a file is decrypted into memory as a whole.
        dec_mode: ``"AES-GCM"``, ``"AES-CBC"`` or ``"SM4-CBC"``, as when it was saved.
        specify_prefix: take only names that begin with this, or with one of these.
        choice_func: called with each name; says whether to take it. Not used together with a prefix.
        crc_check: warn in the log `mindport` if the file holds nothing to compare with. What it holds is always
            compared.
        remove_redundancy: only False.
        format: taken for compatibility.

    Raises:
        MissingFile, NotAFile, NoPermission, StorageError: the file cannot be read.
        FormatError: it is empty, damaged or no checkpoint, is encrypted and no key was given, or key or mode are wrong.
        WrongTypeError, UsageError: an argument is of the wrong kind, a key was given for a file that is not encrypted,
            or nothing is left to load.
        MatchError: the parameters do not fit `net`.
    """
    _check_bool("strict_load", strict_load)
    _check_bool("crc_check", crc_check)
    _only("remove_redundancy", remove_redundancy, False)
    if not isinstance(format, str):
        raise WrongTypeError(f"format must be a text, not {type(format).__name__}")
    kept = _filter(_prefixes("specify_prefix", specify_prefix), _prefixes("filter_prefix", filter_prefix), choice_func)
    path = _path_of(ckpt_file_name)
    values, checked = _read(path, dec_key, dec_mode)
    if crc_check and not checked:
        log.warning("%s holds neither a CRC nor checksums: its content could not be checked", printable(path))
    found = {name: value for name, value in values.items() if kept(name)}
    if not found:
        raise UsageError(f"{printable(path)} holds no parameter of the kind asked for")
    if net is not None:
        load_param_into_net(net, found, strict_load)
    return found


def _read(path: str, dec_key: bytes | None, dec_mode: str) -> tuple[Mapping[str, Any], bool]:
    """Returns the values of a file, compared with their checksums, and whether there were any."""
    if sniff.safetensors(head_of(path, 16)):
        if dec_key is not None:
            raise UsageError(f"a key was given, but {printable(path)} is a safetensors file, which is never encrypted")
        plain = safetensors.read(path, verify=True)
        return plain, "crc_num" in plain.info
    file = ckpt.read(path, verify=True, dec_key=dec_key, dec_mode=dec_mode)
    return _with_aliases(file), file.info.has_checksums or file.info.crc is not None or file.info.encrypted == "AES-GCM"


def _with_aliases(file: ckpt.CheckpointFile) -> dict[str, Any]:
    """Returns the file's values, those of tied tensors under their further names too."""
    aliases = file.info.extra.get("aliases", {})
    if not isinstance(aliases, dict) or not all(isinstance(v, str) and v in file for v in aliases.values()):
        raise CorruptFile("the list of tied tensors is damaged", path=file.path)
    values: dict[str, Any] = {}
    for name, value in file.items():
        values[name] = value
        values.update({alias: value for alias, owner in aliases.items() if owner == name and alias not in file})
    return values


def _prefixes(what: str, value: Any) -> tuple[str, ...] | None:
    if value is None:
        return None
    items = (value,) if isinstance(value, str) else value
    if not isinstance(items, (list, tuple, set, frozenset)) or not all(isinstance(item, str) for item in items):
        raise WrongTypeError(f"{what} must be a text or a list of texts")
    if not items or not all(items):
        raise UsageError(f"{what} must not be empty")
    return tuple(items)


def _filter(specified: tuple[str, ...] | None, filtered: tuple[str, ...] | None, choice: Choice | None) -> Choice:
    if choice is not None and not callable(choice):
        raise WrongTypeError(f"choice_func must be a function, not {type(choice).__name__}")

    def kept(name: str) -> bool:
        if name.startswith(ckpt.RESERVED) and not (specified and any(p.startswith(ckpt.RESERVED) for p in specified)):
            return False
        if specified is None and filtered is None:
            return choice is None or _chosen(choice, name)
        return (specified is None or name.startswith(specified)) and not (filtered and name.startswith(filtered))

    return kept


def load_param_into_net(net: Any, parameter_dict: Mapping[str, Any], strict_load: bool = False) -> Match:
    """Copies parameters into a network, in place; all that match, or none if one of them does not fit.

    Where names do not match, a prefix that a wrapper adds (``module.``, ``_orig_mod.``, ``_backbone.``, ``network.``)
    is taken off; that, missing names and names that look like them are warnings in the log `mindport`.

    Args:
        net: a `torch.nn.Module`.
        parameter_dict: name -> `Tensor`, array or torch tensor; texts are passed over.
        strict_load: convert no dtypes and take off no prefixes.

    Returns:
        The report (`loaded`, `missing`, `unexpected`, `converted`, `renamed`, `repairs`, `suggestions`, `hints`); it
        unpacks as `(param_not_load, ckpt_not_load)`: names that only the network has, and names that only
        `parameter_dict` has.

    Raises:
        WrongTypeError: `net` is no network, or `parameter_dict` no mapping from names to tensors.
        MatchError: shapes or dtypes do not fit; all are listed (its `report.mismatched`) and nothing was changed.
    """
    adapter = adapter_for(net)
    _check_bool("strict_load", strict_load)
    if not isinstance(parameter_dict, Mapping):
        raise WrongTypeError(f"parameter_dict must be a mapping, not {type(parameter_dict).__name__}")
    given: dict[str, TensorRef] = {}
    for name, value in parameter_dict.items():
        if not isinstance(name, str):
            raise WrongTypeError(f"the name of a parameter must be a text, not {type(name).__name__}")
        if isinstance(value, (bool, int, float, list, tuple)) or value is None:
            raise WrongTypeError(f"{printable(name)} must be a tensor, not {type(value).__name__}")
        if not isinstance(value, (str, ckpt.MapTensor)):
            given[name] = as_ref(value, name)
    report, arrays = match(adapter.weights(net), given, aliases=adapter.aliases(net), strict=strict_load)
    adapter.assign(net, arrays)
    for line in report.warnings():
        log.warning("load_param_into_net: %s", line)
    unused = set(report.unexpected) | (set(parameter_dict) - set(given))
    return replace(report, unexpected=tuple(name for name in parameter_dict if name in unused))


def export(net: Any, *inputs: Any, file_name: str | PathLike[str], file_format: str = "AIR", **kwargs: Any) -> Any:
    """Writes a network as ONNX, MINDIR or AIR model; the inputs say what it is called with.

    Args:
        net: a `torch.nn.Module`; it returns to its former training mode.
        *inputs: one `Tensor`, array or torch tensor for each input.
        file_name: the file; its format's suffix is added if it is missing.
        file_format: ``"AIR"``, ``"MINDIR"`` or ``"ONNX"``.
        **kwargs: further options of `mindport.conversion.export.export`.

    Returns:
        The report: files written, and how far the file's results are from the network's.

    Raises:
        WrongTypeError: `net` is no network.
        UnsupportedOps: the format lacks operators; all are listed with their places.
        MissingExtra: a package that exporting needs is not installed.
        StorageError: the file cannot be written.
    """
    adapter_for(net)
    write_model = load("mindport.conversion.export", "exporting").export
    return write_model(net, *inputs, file_name=file_name, file_format=file_format, **kwargs)
