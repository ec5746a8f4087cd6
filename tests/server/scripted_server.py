"""A server process with the scripted recognizer: `python scripted_server.py PORT [GRACE] [--logs] [--tls CERT KEY]`."""

from __future__ import annotations

import argparse

from streaming_asr_server import logs
from streaming_asr_server.application import create_application
from streaming_asr_server.recognition.scripted import ScriptedRecognition
from streaming_asr_server.running import run
from streaming_asr_server.service import Service
from streaming_asr_server.settings import read_settings

parser = argparse.ArgumentParser()
parser.add_argument("port", type=int)
parser.add_argument("grace", type=float, nargs="?", default=5.0)
parser.add_argument("--logs", action="store_true")
parser.add_argument("--tls", nargs=2, default=(None, None))
arguments = parser.parse_args()
if arguments.logs:
    logs.configure("info")
certificate, key = arguments.tls
given = {"port": arguments.port, "grace_seconds": arguments.grace, "tls_cert": certificate, "tls_key": key}
settings = read_settings(given, environment={})
service = Service(settings, load=ScriptedRecognition)
run(create_application(service), service, settings)
