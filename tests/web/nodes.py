"""Every Node that is here: the one on the path, and the one that playwright brings."""

from __future__ import annotations

import json
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

PROGRAMS: Final = Path(__file__).parent / "programs"


def nodes() -> list[str]:
    """Paths of programs; those on the path first."""
    spec = find_spec("playwright")
    driver = Path(spec.origin).parent / "driver" / "node" if spec and spec.origin else None
    found = [shutil.which("node"), str(driver) if driver and driver.exists() else None]
    return [node for node in found if node is not None]


def started(node: str, program: str, *arguments: str) -> subprocess.Popen[str]:
    """A program of this folder, running."""
    command = [node, str(PROGRAMS / program), *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def said(process: subprocess.Popen[str], seconds: float = 60) -> list[dict[str, Any]]:
    """All that it printed, once it has ended well."""
    lines, problems = process.communicate(timeout=seconds)
    assert (process.returncode, problems) == (0, "")
    return [json.loads(line) for line in lines.splitlines()]
