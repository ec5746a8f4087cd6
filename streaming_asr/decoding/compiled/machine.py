"""What makes machine code of a function."""

from collections.abc import Callable
from typing import Any, TypeVar

from numba import njit

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function) -> Function:
    """Compile at the first call, and keep the machine code on disk, if there is a place for it."""
    try:
        made: Function = njit(function, cache=True)
    except RuntimeError:
        made = njit(function)
    return made
