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
    "tokenizer_mb": 64,  # tokenizer.json and word lists; the largest of known models have 33 MB
    "metadata_mb": 1024,  # metadata, captions, subtitles and annotations, each file
    "weights_gb": 16,  # all tensors of a model's file together, as their shapes say; the largest here has 2
    "model_gb": 16,  # parameters of a model in float32, as its configuration says
    "layers": 128,  # of each stack of a model
    "width": 16384,  # numbers per token, feature or embedding of a model
    "vocabulary": 2_000_000,  # tokens that a model knows
    "positions": 4096,  # tokens, image patches or video features that a model reads at once
    "frames": 256,  # pictures of a video that a model reads at once
    "batch": 4096,  # examples that a saved model asks for at once
    "explored": 5000,  # captions, or clips, that the explorer shows: its page has a number for each pair
    "page_mb": 400,  # of the explorer; browsers need several times as much memory
    "beams": 64,  # sentences that a captioner keeps at once
    "pixels": 2048,  # side of the images that a model reads
    "fps": 240,  # frames per second that a model asks for
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


def within(name: str, value: float) -> float:
    """The value, if it is within a limit. Raises ConfigError otherwise."""
    if value > limit(name):
        raise ConfigError(f"{str(value)[:20]} is too large: {how_to_raise(name)}")
    return value


def require_within(name: str, config: object, *fields: str, least: float = 1) -> None:
    """Raise ConfigError unless each of these fields is None, or is at least `least` and within a limit."""
    for field in fields:
        value = getattr(config, field)
        if value is None:
            continue
        if not value >= least:
            raise ConfigError(f"{type(config).__name__}.{field} must be at least {least}, not {str(value)[:20]}")
        if value > limit(name):
            raise ConfigError(f"{type(config).__name__}.{field} cannot be {str(value)[:20]}: {how_to_raise(name)}")
