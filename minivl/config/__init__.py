"""Every hyperparameter, at three scales: `scale("small").adapt.learning_rate`.

The scales differ in values alone. What follows from them elsewhere follows from one value, `Scale.world`: with a world,
clips are rendered or bundled and kept decoded in memory; without one (`full`), corpora are read from `MINIVL_DATA`, and
again for each epoch, and what needs a world to turn its knobs says that it cannot run.
"""

from minivl.config.changes import names_of, with_changes
from minivl.config.checks import ConfigError
from minivl.config.folders import BUNDLED, CHECKOUT, NARRATED, NOTEBOOKS, cache_dir, checkpoints_kept, runs_dir
from minivl.config.scales import SCALES, Scale, scale
from minivl.config.settings import (
    NARRATED_WORLD,
    RANDAUGMENT,
    STRATEGIES,
    ClipConfig,
    CorpusConfig,
    DiscoVLAConfig,
    InputConfig,
    NarrationConfig,
    ObjectiveConfig,
    S3DConfig,
    UniVLConfig,
    WorldConfig,
    override,
)
from minivl.config.training import ClipPretrainConfig, S3DPretrainConfig, TaskConfig, TrainConfig, UniVLPretrainConfig
