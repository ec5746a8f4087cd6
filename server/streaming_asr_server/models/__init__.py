"""The models of one server: which there are, which a client means, and when each is loaded and let go."""
