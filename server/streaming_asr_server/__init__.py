"""The websocket server: from sockets to the library.

`streaming_asr_server.application.create_application` is the ASGI application; `streaming-asr serve` runs it on uvicorn.
"""
