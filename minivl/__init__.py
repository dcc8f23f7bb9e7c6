"""minivl: learn, teach and reproduce video-language pretraining (UniVL and DiscoVLA)."""

__version__ = "0.2.0.dev0"
