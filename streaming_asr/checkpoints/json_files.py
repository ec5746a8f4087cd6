"""The small JSON files of a checkpoint folder, read with one clear error each."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from streaming_asr.errors import CheckpointError


def read_object(path: Path) -> Mapping[str, Any]:
    """The JSON object in a file.

    Raises `CheckpointError` when the file is missing, is not JSON or is JSON of another kind.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise CheckpointError(
            f"{path.parent}: holds no {path.name}; a checkpoint in Hugging Face layout has one"
        ) from None
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error})") from error
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise CheckpointError(f"{path}: is truncated or not JSON ({error}); fetch it again") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path}: holds a JSON {type(content).__name__}; a JSON object {{...}} was expected")
    return content


def read_object_if_there(path: Path) -> Mapping[str, Any]:
    """The JSON object in a file, or an empty one when there is no such file; errors as in `read_object`."""
    return read_object(path) if path.exists() else {}
