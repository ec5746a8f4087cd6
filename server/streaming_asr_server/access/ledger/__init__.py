"""What all workers of a server must know, in one of three homes: this process, SQLite, Redis."""
