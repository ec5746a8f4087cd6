"""Pocketsphinx on a TCP port: 16-bit samples at 16 kHz in, JSON lines `[settled, tail]` out; one caller at a time."""

import json
import socketserver
import sys

from pocketsphinx import Decoder, Endpointer


class Caller(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        decoder, endpointer = Decoder(samprate=16_000, loglevel="FATAL"), Endpointer()
        settled: list[str] = []
        within = False
        while frame := self.rfile.read(endpointer.frame_bytes):
            last = len(frame) < endpointer.frame_bytes
            speech = endpointer.end_stream(frame) if last else endpointer.process(frame)
            if speech is not None:
                if not within:
                    decoder.start_utt()
                    within = True
                decoder.process_raw(speech)
                if endpointer.in_speech:
                    self.show(settled, decoder.hyp().hypstr if decoder.hyp() else "")
            if within and not endpointer.in_speech:
                self.settle(decoder, settled)
                within = False
        if within:
            self.settle(decoder, settled)

    def settle(self, decoder: Decoder, settled: list[str]) -> None:
        decoder.end_utt()
        if decoder.hyp():
            settled.append(decoder.hyp().hypstr)
        self.show(settled, "")

    def show(self, settled: list[str], tail: str) -> None:
        self.wfile.write(json.dumps([" ".join(settled), tail]).encode() + b"\n")


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


if __name__ == "__main__":
    with Server(("127.0.0.1", int(sys.argv[1])), Caller) as server:
        server.serve_forever()
