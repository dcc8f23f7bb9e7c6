"""Limits on what files may ask for: checked before memory is taken, so that a few hostile bytes cannot fill a machine.

Each has a default above what real files need. An environment variable changes it, `MINIVL_LIMIT_` and its name in
capitals (`MINIVL_LIMIT_FRAME_SIDE=20000 minivl search ...`), in every command, lesson and process alike.
"""

import os

from minivl.config.checks import ConfigError

PREFIX = "MINIVL_LIMIT_"
DEFAULTS = {
    "frame_pixels": 8192 * 4320,  # pixels of a decoded frame: 8K
    "frame_side": 16384,  # pixels, the longer side of a decoded frame
    "frame_ratio": 64,  # the longer side of a frame over the shorter
    "video_hours": 24,  # length of a video by its time stamps
    "json_mb": 8,  # a model's configuration; the largest tokenizer_config.json of known models has 1.2 MB
    "metadata_mb": 1024,  # metadata, captions, subtitles and annotations, each file
    "weights_gb": 16,  # all tensors of a model's file together, as their shapes say; the largest here has 2
    "model_gb": 16,  # parameters of a model in float32, as its configuration says
    "unpacked_ratio": 200,  # bytes unpacked for each byte of a compressed file
}


def limit(name: str) -> int:
    """The value of one of DEFAULTS, or what the environment says instead. Raises ConfigError for no whole number."""
    text = os.environ.get(PREFIX + name.upper())
    if text is None:
        return DEFAULTS[name]
    if not text.isascii() or not text.isdigit() or len(text) > 18 or int(text) == 0:
        raise ConfigError(f"{PREFIX + name.upper()} must be a whole number above 0, not {text!r}")
    return int(text)


def how_to_raise(name: str) -> str:
    """The half of a message that says which limit was met and how to lift it."""
    return f"the limit is {limit(name)}; set {PREFIX + name.upper()} to allow more"
