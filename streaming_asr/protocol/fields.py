"""Reads the fields of a JSON object one by one, checks each, and refuses what nobody asked for."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar, get_args

from streaming_asr.protocol.faults import ProtocolError

_Kind = TypeVar("_Kind")


def read_object(text: str) -> dict[str, Any]:
    """A text message as a JSON object with a `type`.

    Raises:
        ProtocolError: it is not one.
    """
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        raise ProtocolError("bad_message", f"not JSON: {_shown(text)}") from None
    if not isinstance(value, dict) or not isinstance(value.get("type"), str):
        raise ProtocolError("bad_message", f"{_shown(text)} is not a JSON object with a string 'type'")
    return value


class Fields:
    """The fields of one object called `name`; every reader raises ProtocolError when the value is not what it says."""

    def __init__(self, value: Any, name: str) -> None:
        if not isinstance(value, Mapping):
            raise ProtocolError("bad_message", f"{name} is {_shown(value)}; it must be an object")
        self._values = dict(value)
        self._name = name

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def take(self, key: str) -> Any:
        """The raw value of a field that must be there."""
        if key not in self._values:
            raise ProtocolError("bad_message", f"{self._name}.{key} is missing")
        return self._values.pop(key)

    def text(self, key: str, default: str | None = None) -> str:
        return self._typed(key, str, "a string", default)

    def boolean(self, key: str, default: bool | None = None) -> bool:
        return self._typed(key, bool, "true or false", default)

    def integer(self, key: str, default: int | None = None, *, low: int = 0, high: int | None = None) -> int:
        if key not in self._values and default is not None:
            return default
        value = self.take(key)
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        bounds = f"an integer from {low} to {high}" if high is not None else f"an integer, {low} or more"
        if not isinstance(value, int) or isinstance(value, bool):
            raise self.refused(key, value, bounds)
        if value < low or (high is not None and value > high):
            raise self.refused(key, value, bounds, "bad_option")
        return value

    def number(self, key: str) -> float:
        return finite_number(self.take(key), f"{self._name}.{key}")

    def choice(self, key: str, literal: Any, default: _Kind | None = None) -> _Kind:
        """One of the values of a Literal type."""
        if key not in self._values and default is not None:
            return default
        value, choices = self.take(key), get_args(literal)
        if not isinstance(value, str) or value not in choices:
            raise self.refused(key, value, f"one of {', '.join(choices)}", "bad_option")
        return value  # type: ignore[return-value]

    def objects(self, key: str) -> list[Fields]:
        """A list of objects; a field that is not there is an empty one."""
        if key not in self._values:
            return []
        value = self.take(key)
        if not isinstance(value, Sequence) or isinstance(value, str):
            raise self.refused(key, value, "a list")
        return [Fields(item, f"{self._name}.{key}[{index}]") for index, item in enumerate(value)]

    def nothing_else(self) -> None:
        """Refuse the fields that nobody has taken."""
        if self._values:
            names = ", ".join(sorted(map(str, self._values))[:5])
            raise ProtocolError("bad_message", f"{self._name} has no field {_shown(names)}")

    def refused(self, key: str, value: Any, wanted: str, code: Any = "bad_message") -> ProtocolError:
        return ProtocolError(code, f"{self._name}.{key} is {_shown(value)}; it must be {wanted}")

    def _typed(self, key: str, kind: type[_Kind], wanted: str, default: _Kind | None) -> _Kind:
        if key not in self._values and default is not None:
            return default
        value = self.take(key)
        if not isinstance(value, kind):
            raise self.refused(key, value, wanted)
        return value


def finite_number(value: Any, name: str) -> float:
    """A JSON number as a float.

    Raises:
        ProtocolError: it is not a number, or not a finite one (Python's JSON reader lets NaN and Infinity pass).
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ProtocolError("bad_message", f"{name} is {_shown(value)}; it must be a finite number")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ProtocolError("bad_message", f"{name} is {_shown(value)}; it must be a finite number")
    return number


def _shown(value: Any) -> str:
    """A value as it appears in a message: short, whatever was sent."""
    shown = repr(value)
    return shown if len(shown) <= 80 else f"{shown[:77]}..."
