"""One connection to its end: how it is accepted, read, answered and closed."""
