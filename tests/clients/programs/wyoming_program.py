"""wyoming's framing over a program's standard streams: WAV COMMAND... -> the transcripts of the file, twice.

The package has no client that starts a program; its `read_event` and `write_event` work on any pipes.
"""

import json
import subprocess
import sys
import wave

from wyoming.asr import Transcript
from wyoming.audio import wav_to_chunks
from wyoming.event import read_event, write_event

file, *command = sys.argv[1:]

with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as program:
    assert program.stdin is not None
    assert program.stdout is not None
    for _ in range(2):
        with wave.open(file) as recording:
            for chunk in wav_to_chunks(recording, 1_024, start_event=True, stop_event=True):
                write_event(chunk.event(), program.stdin)
        while (event := read_event(program.stdout)) is not None:
            if Transcript.is_type(event.type):
                print(json.dumps({"kind": "transcript", **event.data}), flush=True)
                break
    program.stdin.close()
    print(json.dumps({"kind": "ended", "code": program.wait(30)}), flush=True)
