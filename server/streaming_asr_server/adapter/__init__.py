"""Between a foreign protocol and sessions: its interface, the adapter that runs it, and its audio."""
