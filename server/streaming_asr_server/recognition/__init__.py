"""What the server needs of a recognizer, the real one, and one without a model for tests."""
