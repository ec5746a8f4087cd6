"""A client machine needs numpy and websockets, nothing else."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = {
    "torch",
    "kenlm",
    "huggingface_hub",
    "transformers",
    "soxr",
    "soundfile",
    "av",
    "webrtcvad",
    "pyctcdecode",
    "starlette",
    "uvicorn",
}

SCRIPT = """
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {heavy}:
            raise ModuleNotFoundError(f"no {{name}} on this machine")
sys.meta_path.insert(0, Missing())
import {module}
"""


@pytest.mark.parametrize(
    "module", ["streaming_asr_client", "streaming_asr.protocol", "streaming_asr.events", "streaming_asr.decoding"]
)
def test_it_imports_without_the_recognizers_packages(module: str) -> None:
    script = SCRIPT.format(heavy=HEAVY, module=module)
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
