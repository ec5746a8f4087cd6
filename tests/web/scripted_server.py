"""A server with the scripted recognizer: `python scripted_server.py PORT [KEY_FILE|-] [MAX_STREAMS] [GRACE]`."""

from __future__ import annotations

import sys
from pathlib import Path

from streaming_asr_server.access.authentication import ApiKeys
from streaming_asr_server.application import create_application
from streaming_asr_server.recognition.scripted import ScriptedRecognition
from streaming_asr_server.running import run
from streaming_asr_server.service import Service
from streaming_asr_server.settings import Settings

port, key_file, max_streams, grace = [*sys.argv[1:], *("", "-", "32", "30")[len(sys.argv) - 1 :]]
keys = None if key_file == "-" else ApiKeys.read(Path(key_file))
settings = Settings(
    port=int(port),
    max_streams=int(max_streams),
    grace_seconds=float(grace),
    allow_origin=("http://elsewhere.localhost",),
)
service = Service(settings, load=ScriptedRecognition, keys=keys)
run(create_application(service), service, settings)
