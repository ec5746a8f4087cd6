"""Wire protocols that other clients already speak, each a codec without I/O between its messages and our events."""
