"""Views: what is said in a stream, for an audience that reads along."""
