"""Training: the one loop, its devices, what it keeps on disk, and batches spread over processes."""
