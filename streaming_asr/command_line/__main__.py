"""`python -m streaming_asr.command_line`: the same as `streaming-asr`."""

from streaming_asr.command_line.application import main

if __name__ == "__main__":
    main()
