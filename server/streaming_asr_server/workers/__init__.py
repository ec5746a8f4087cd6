"""Several processes that serve the same ports: each with an engine of its own, one supervisor over them."""
