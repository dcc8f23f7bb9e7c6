"""Every hyperparameter, at three scales: `scale("small").adapt.learning_rate`.

Nothing but values differs between the scales: the code is the same.
"""

from minivl.config.folders import BUNDLED, CHECKOUT, NARRATED, NOTEBOOKS, cache_dir, runs_dir
from minivl.config.scales import SCALES, Scale, scale
from minivl.config.settings import (
    NARRATED_WORLD,
    RANDAUGMENT,
    STRATEGIES,
    ClipConfig,
    ClipPretrainConfig,
    ConfigError,
    CorpusConfig,
    DiscoVLAConfig,
    InputConfig,
    NarrationConfig,
    ObjectiveConfig,
    S3DConfig,
    S3DPretrainConfig,
    TaskConfig,
    TrainConfig,
    UniVLConfig,
    UniVLPretrainConfig,
    WorldConfig,
    override,
)

__all__ = [
    "BUNDLED",
    "CHECKOUT",
    "NARRATED",
    "NARRATED_WORLD",
    "NOTEBOOKS",
    "RANDAUGMENT",
    "SCALES",
    "STRATEGIES",
    "ClipConfig",
    "ClipPretrainConfig",
    "ConfigError",
    "CorpusConfig",
    "DiscoVLAConfig",
    "InputConfig",
    "NarrationConfig",
    "ObjectiveConfig",
    "S3DConfig",
    "S3DPretrainConfig",
    "Scale",
    "TaskConfig",
    "TrainConfig",
    "UniVLConfig",
    "UniVLPretrainConfig",
    "WorldConfig",
    "cache_dir",
    "override",
    "runs_dir",
    "scale",
]
