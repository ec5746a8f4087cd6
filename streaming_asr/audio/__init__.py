"""Audio on its way to the encoder: sources, decoding, resampling, the ring buffer, and the gate with its detectors."""
