"""The client of `vosk-transcriber --server`, from the package vosk: URL RAW -> one JSON object per reply.

Its constructor loads a model that its client does not use, and it reads what ffmpeg writes: here that is `cat`.
"""

import argparse
import asyncio
import json
import sys

from vosk.transcriber.transcriber import Transcriber  # type: ignore[import-not-found,unused-ignore]
from websockets.exceptions import InvalidStatus

url, file = sys.argv[1:]


async def main() -> None:
    transcriber = object.__new__(Transcriber)
    transcriber.args = argparse.Namespace(server=url, output_type="txt")
    process = await asyncio.create_subprocess_exec("cat", file, stdout=asyncio.subprocess.PIPE)
    try:
        results, size = await transcriber.recognize_stream_server(process)
    except InvalidStatus as error:
        print(json.dumps({"kind": "refused", "status": error.response.status_code}))
        process.kill()
        await process.communicate()
    else:
        for result in results:
            print(json.dumps({"kind": "result", **result}))
        await process.wait()
        print(json.dumps({"kind": "text", "text": transcriber.format_result(results), "bytes": size}))


asyncio.run(main())
