"""A voice agent of LiveKit (1.x) that hears by this server, in Deepgram's place.

`pip install livekit-plugins-deepgram`, `streaming-asr serve`,
then `python livekit_agent.py FILE.wav [HOST:PORT [KEY]]`.
"""
