"""What can be wrong with a CLIP."""


class ModelError(ValueError):
    """A model that does not exist, or whose weights are not here."""
