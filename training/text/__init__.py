"""The text model: marks, capitals and sentence ends for the words that a recognizer gives."""
