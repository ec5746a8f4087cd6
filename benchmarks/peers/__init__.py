"""Ours beside other streaming recognizers: the same recordings, the same machine, one run."""
