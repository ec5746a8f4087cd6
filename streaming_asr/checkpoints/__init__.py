"""Reading checkpoints: where they are found, what they say of themselves, and their weights."""
