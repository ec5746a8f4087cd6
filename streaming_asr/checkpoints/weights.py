"""From the weight files of a checkpoint to tensors under the names that the encoder uses."""

from __future__ import annotations

import pickle
import re
import struct
import zipfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import torch

from streaming_asr.checkpoints.json_files import read_object
from streaming_asr.errors import CheckpointError

_WHOLE: Final = ("model.safetensors", "pytorch_model.bin")
INDEXES: Final = tuple(f"{name}.index.json" for name in _WHOLE)
"""The tables of contents of weights that are split into shards."""
_WRAPPERS: Final = re.compile(
    r"(?:(?:module|model|_orig_mod|wav2vec2|hubert|unispeech|unispeech_sat|wavlm|data2vec_audio)\.)+"
)
"""What may stand before a name: wrappers of training (DDP, compile) and the name of the family."""
_USED: Final = re.compile(r"(?:feature_extractor|feature_projection|encoder|lm_head|adapter)\..+")
"""Everything else serves pretraining (quantizer, projections, mask embedding) and is left out."""
_MAGNITUDE: Final = re.compile(r"(?P<layer>.+)\.(?:weight_g|parametrizations\.weight\.original0)")
_DIRECTION: Final = re.compile(r"(?P<layer>.+)\.(?:weight_v|parametrizations\.weight\.original1)")
_POINTER: Final = b"version https://git-lfs"

Tensors = Mapping[str, torch.Tensor]


def weight_files(folder: Path, files: Collection[str]) -> tuple[str, ...]:
    """The files to load of those that a checkpoint offers: safetensors before pickle, one file before shards.

    An index file must lie in `folder` already. Raises `CheckpointError` when there are no weights for PyTorch, the
    index is broken or a shard is missing.
    """
    for whole, index in zip(_WHOLE, INDEXES, strict=True):
        if whole in files:
            return (whole,)
        if index in files:
            return _shards(folder / index, files)
    raise CheckpointError(f"{folder}: {_instead(files)}")


def _shards(index: Path, files: Collection[str]) -> tuple[str, ...]:
    table = read_object(index).get("weight_map")
    if not isinstance(table, dict) or not table or not all(isinstance(name, str) for name in table.values()):
        raise CheckpointError(f"{index}: weight_map is missing; it should say which file holds which tensor")
    shards = sorted(set(table.values()))
    missing = [name for name in shards if name not in files]
    if missing:
        raise CheckpointError(f"{index}: names {', '.join(missing)}, not among the files; fetch the missing shards")
    return tuple(shards)


def _instead(files: Collection[str]) -> str:
    other = sorted(name for name in files if name.endswith((".msgpack", ".h5", ".ckpt", ".index", ".onnx", ".pt")))
    wanted = " or ".join(_WHOLE)
    if any(name.endswith((".msgpack", ".h5")) for name in other):
        return f"has weights for Flax or TensorFlow only ({', '.join(other)}); convert them to PyTorch: {wanted}"
    return f"holds no weights ({', '.join(other) or 'no weight file at all'}); {wanted} was expected"


def read_weights(paths: Sequence[Path]) -> Tensors:
    """The tensors of weight files under the encoder's names, weight norm folded, pretraining parts left out.

    Floating point tensors come as float32, or float64 where the file holds that. Raises `CheckpointError` for a
    file that is missing, truncated, corrupt, not a state dictionary or not a wav2vec2-like model's.
    """
    tensors: dict[str, torch.Tensor] = {}
    for path in paths:
        tensors.update(_read(path))
    used = {encoder_name(name): _widen(tensor) for name, tensor in tensors.items() if encoder_name(name)}
    if not any(name.startswith("encoder.") for name in used):
        first = ", ".join(list(tensors)[:3]) or "none at all"
        raise CheckpointError(f"{paths[0]}: holds no encoder.* tensors of a wav2vec2-like model, but {first}")
    return fold_weight_norm(used, str(paths[0]))


def encoder_name(name: str) -> str:
    """A tensor's name in the encoder, or "" for one that recognition does not use."""
    prefix = _WRAPPERS.match(name)
    bare = name[prefix.end() :] if prefix else name
    return bare if _USED.fullmatch(bare) and not bare.endswith("num_batches_tracked") else ""


def fold_weight_norm(tensors: Tensors, origin: str) -> Tensors:
    """Tensors with every weight-normalized pair replaced by the weight that it stands for.

    The weight is magnitude x direction / ||direction||, the norm taken over the axes where the magnitude has
    length 1 (Salimans and Kingma 2016, section 2, as `torch.nn.utils.weight_norm` stores it), in float64.
    """
    magnitudes = {match["layer"]: tensors[match.string] for match in _matches(_MAGNITUDE, tensors)}
    directions = {match["layer"]: tensors[match.string] for match in _matches(_DIRECTION, tensors)}
    for layer in sorted(magnitudes.keys() ^ directions.keys()):
        raise CheckpointError(f"{origin}: {layer} has half of a weight norm; magnitude and direction belong together")
    paired = {match.string for pattern in (_MAGNITUDE, _DIRECTION) for match in _matches(pattern, tensors)}
    plain = {name: tensor for name, tensor in tensors.items() if name not in paired}
    return plain | {f"{layer}.weight": _fold(magnitudes[layer], directions[layer]) for layer in directions}


def _matches(pattern: re.Pattern[str], names: Collection[str]) -> Iterator[re.Match[str]]:
    return (match for match in map(pattern.fullmatch, names) if match)


def _fold(magnitude: torch.Tensor, direction: torch.Tensor) -> torch.Tensor:
    axes = [axis for axis, length in enumerate(magnitude.shape) if length == 1]
    exact = direction.double()
    norm = exact.pow(2).sum(dim=axes, keepdim=True).sqrt()
    return (magnitude.double() * exact / norm).to(direction.dtype)


def _widen(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.float() if tensor.is_floating_point() and tensor.dtype != torch.float64 else tensor


def put_adapter(weights: Tensors, adapter: Tensors, expected: Collection[str], origin: str) -> Tensors:
    """Weights of a multilingual checkpoint with the adapter layers and the CTC head of one language.

    `expected` are the adapter's tensor names; the head may have another number of rows than the one it replaces.
    Raises `CheckpointError` when tensors are missing or foreign.
    """
    missing, foreign = sorted(set(expected) - set(adapter)), sorted(set(adapter) - set(expected))
    if missing:
        raise CheckpointError(f"{origin}: lacks {_listed(missing)}, which an adapter of this checkpoint has")
    if foreign:
        raise CheckpointError(f"{origin}: holds {_listed(foreign)}, which is no part of an adapter of this checkpoint")
    return {**weights, **adapter}


def read_adapter(path: Path) -> Tensors:
    """The tensors of one adapter file under the encoder's names; errors as in `read_weights`."""
    return {encoder_name(name) or name: _widen(tensor) for name, tensor in _read(path).items()}


def adapter_names(layers: int) -> frozenset[str]:
    """The tensors of an MMS adapter for an encoder of so many layers."""
    parts = [f"{part}.{kind}" for part in ("norm", "linear_1", "linear_2") for kind in ("weight", "bias")]
    names = {f"encoder.layers.{layer}.adapter_layer.{part}" for layer in range(layers) for part in parts}
    return frozenset(names | {"lm_head.weight", "lm_head.bias"})


def check_shapes(weights: Tensors, expected: Mapping[str, Sequence[int]], origin: str) -> None:
    """Raises `CheckpointError`, naming the first tensors, when expected ones are missing or of another shape."""
    missing = [name for name in expected if name not in weights]
    if missing:
        raise CheckpointError(f"{origin}: lacks {_listed(missing)}; is it incomplete, or config.json another model's?")
    for name, shape in expected.items():
        found = tuple(weights[name].shape)
        if found != tuple(shape):
            raise CheckpointError(f"{origin}: {name} has the shape {found}; {tuple(shape)} follows from config.json")


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - 3} more tensors" if len(names) > 3 else ""
    return f"{', '.join(names[:3])}{more}"


def _read(path: Path) -> Tensors:
    _refuse_pointer(path)
    return _read_safetensors(path) if path.suffix == ".safetensors" else read_pickle(path)


def _refuse_pointer(path: Path) -> None:
    """A clone without git-lfs leaves a text of three lines where the weights should be."""
    try:
        with path.open("rb") as file:
            head = file.read(len(_POINTER))
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error})") from error
    if head == _POINTER:
        raise CheckpointError(f"{path}: is only a git-lfs pointer to the weights; run 'git lfs pull' in its folder")


def _read_safetensors(path: Path) -> Tensors:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path}: is truncated or not a safetensors file ({error}); fetch it again") from error


def read_pickle(path: Path, device: str = "cpu") -> Tensors:
    """The tensors of a `pytorch_model.bin`; on the device "meta" only their shapes are read.

    A pickle can run code when it is loaded, so nothing but plain tensors is accepted. Raises `CheckpointError`.
    """
    try:
        content: Any = torch.load(path, map_location=device, weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(f"{path}: is corrupt or holds more than tensors ({_first_line(error)})") from error
    except (RuntimeError, EOFError, OSError, LookupError, ValueError, struct.error, zipfile.BadZipFile) as error:
        reason = _first_line(error)
        raise CheckpointError(f"{path}: is truncated or no PyTorch file ({reason}); fetch it again") from error
    if not isinstance(content, dict) or not all(isinstance(value, torch.Tensor) for value in content.values()):
        raise CheckpointError(f"{path}: holds a {type(content).__name__}; a dictionary of tensors was expected")
    return content


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0] or type(error).__name__
