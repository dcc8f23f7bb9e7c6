"""CLIP, through open_clip."""

from minivl.clip.model import HUB, Clip, ModelError, load_clip
