"""Training of small streaming wav2vec2 CTC models: prepare, train, evaluate, export, language model."""
