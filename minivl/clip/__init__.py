"""CLIP and its relatives, through open_clip and transformers."""

from minivl.clip.errors import ModelError
from minivl.clip.model import HUB, Clip, load_clip
