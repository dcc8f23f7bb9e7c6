"""S3D, the video network whose features UniVL reads."""

from minivl.s3d.model import S3D
