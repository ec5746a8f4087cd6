"""A server of several workers with the scripted recognizer; its argument is the options as JSON.

TEST_FAULT in the environment names a file, and what is written in it happens to every worker that starts: "refuse" its
model cannot be loaded, "die" it dies.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from streaming_asr_server import logs
from streaming_asr_server.settings import Settings, read_settings
from streaming_asr_server.workers.serving import serve_with_workers

from streaming_asr.errors import CheckpointError, StreamingAsrError


def fault() -> str:
    file = Path(os.environ.get("TEST_FAULT") or "/nonexistent")
    return file.read_text() if file.exists() else ""


def load(settings: Settings) -> Any:
    from streaming_asr_server.recognition.scripted import ScriptedRecognition

    if fault() == "refuse":
        raise CheckpointError("the model is not there")
    return ScriptedRecognition()


if __name__ == "__mp_main__" and fault() == "die":
    os.abort()
if __name__ == "__main__":
    logs.configure("info")
    try:
        given = json.loads(sys.argv[1])
        serve_with_workers(read_settings(given, environment={}), load, lambda: print("announced", flush=True))
    except StreamingAsrError as error:
        print(f"error: {error}", flush=True)
        sys.exit(2)
