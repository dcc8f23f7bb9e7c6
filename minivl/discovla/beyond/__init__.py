"""Beyond the paper: whether a model sees the order of frames, and an embedding that lets it."""
