"""Names and shapes of the tensors in a weight file, without reading the tensors."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from streaming_asr.checkpoints.shapes import Shape
from streaming_asr.checkpoints.weights import read_pickle
from streaming_asr.errors import CheckpointError

_LENGTH: Final = struct.Struct("<Q")
_LARGEST: Final = 100_000_000
"""Bytes of the largest header that the safetensors format allows."""


def read_shapes(path: Path) -> Mapping[str, Shape]:
    """The shapes of a weight file's tensors by name, as stored. Raises `CheckpointError` for a file of another kind."""
    if path.suffix == ".safetensors":
        return _safetensors_shapes(path)
    content = read_pickle(path, device="meta")
    return {name: tuple(tensor.shape) for name, tensor in content.items()}


def _safetensors_shapes(path: Path) -> Mapping[str, Shape]:
    """The format begins with the header's length and the header in JSON (safetensors format, README, "Format")."""
    try:
        with path.open("rb") as file:
            (length,) = _LENGTH.unpack(file.read(_LENGTH.size))
            header: Any = json.loads(file.read(length)) if length <= _LARGEST else None
        return {name: tuple(entry["shape"]) for name, entry in header.items() if name != "__metadata__"}
    except (OSError, struct.error, ValueError, TypeError, KeyError, AttributeError) as error:
        raise CheckpointError(f"{path}: is truncated or not a safetensors file ({error!r}); fetch it again") from error
