"""UniVL: Unified Video and Language Pre-Training (arXiv 2002.06353)."""

from minivl.univl.model import UniVL
from minivl.univl.s3d import S3D

__all__ = ["S3D", "UniVL"]
