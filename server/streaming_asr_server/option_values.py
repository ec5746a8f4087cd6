"""Values of options as their types want them, wherever these were written: file, environment, command line."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import UnionType
from typing import Any, Final, Literal, Union, get_args, get_origin

from streaming_asr.errors import OptionError


def converted(name: str, value: Any, hints: Mapping[str, Any]) -> Any:
    """A value as its option's type wants it; text may be any of them. Raises OptionError."""
    if name not in hints:
        raise OptionError(f"there is no option {name!r}; there are {', '.join(hints)}")
    wanted = hints[name]
    kinds = get_args(wanted) if get_origin(wanted) in (Union, UnionType) else (wanted,)
    for kind in kinds:
        result = _as_kind(value, kind)
        if result is not _NOT_SO:
            return result
    raise OptionError(f"{name} is {value!r}; it must be {_description(kinds)}")


_NOT_SO: Final = object()
_BOOLEANS: Final[Mapping[str, bool]] = {
    **dict.fromkeys(("1", "true", "yes", "on"), True),
    **dict.fromkeys(("0", "false", "no", "off"), False),
}


def _as_kind(value: Any, kind: Any) -> Any:
    """A value as one kind, or `_NOT_SO`."""
    if get_origin(kind) is Literal:
        return value if value in get_args(kind) else _NOT_SO
    if get_origin(kind) is tuple:
        return tuple(value.split(",")) if isinstance(value, str) else tuple(value)
    if kind is bool:
        return value if isinstance(value, bool) else _BOOLEANS.get(str(value).lower(), _NOT_SO)
    if kind is Path:
        return Path(value) if isinstance(value, str | Path) else _NOT_SO
    if kind is str:
        return value if isinstance(value, str) else _NOT_SO
    if isinstance(value, bool) or kind is type(None):
        return _NOT_SO
    try:
        return kind(value)
    except (TypeError, ValueError):
        return _NOT_SO


def _description(kinds: tuple[Any, ...]) -> str:
    names = [
        " or ".join(map(repr, get_args(kind))) if get_origin(kind) is Literal else _NAMES.get(kind, "")
        for kind in kinds
    ]
    return " or ".join(name for name in names if name) or "a list"


_NAMES: Final[Mapping[Any, str]] = {
    int: "an integer",
    float: "a number",
    str: "text",
    bool: "true or false",
    Path: "a path",
}
