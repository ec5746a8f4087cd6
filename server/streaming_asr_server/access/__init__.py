"""Who may connect, and how much is served at once."""
