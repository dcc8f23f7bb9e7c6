"""Making of the bundled weights and features: the small CLIP, the small S3D, the narrated world's features."""
