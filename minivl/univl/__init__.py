"""UniVL: Unified Video and Language Pre-Training (arXiv 2002.06353)."""

from minivl.s3d.model import S3D
from minivl.univl.model import UniVL
