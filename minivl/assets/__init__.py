"""How the bundled weights and features were made: the small CLIP, the small S3D, the narrated world's features."""
