"""Saving a UniVL with its settings, and reading it back."""

import dataclasses
from pathlib import Path

from minivl.config import ConfigError, ObjectiveConfig, UniVLConfig, override
from minivl.hub.checkpoints import CheckpointError, load_weights, read_weights
from minivl.hub.folders import Shared, find, read_settings, write_folder


class Saving(Shared):
    """What gives UniVL `save_pretrained`, `from_pretrained` and `push_to_hub`."""

    def save_pretrained(self, folder, tokenizer=None, card: str = "", inputs: dict | None = None) -> None:
        """Write settings, weights and a model card into `folder`, and the tokenizer, if there is one, beside them.

        card     Markdown about data, command, scores and limits: see `minivl.hub.folders.sections`
        inputs   {"max_words", "max_frames"} of its training: frames have the positions after `max_words`
        """
        settings = {"univl": dataclasses.asdict(self.config), "objectives": dataclasses.asdict(self.objectives)}
        settings |= {"inputs": inputs} if inputs else {}
        parameters = sum(p.numel() for p in self.parameters())
        write_folder(
            Path(folder),
            settings,
            self.state_dict(),
            _CARD.format(
                parameters=parameters, parts=", ".join(("text encoder", "video encoder", *self.config.parts)), card=card
            ),
        )
        if tokenizer is not None:
            tokenizer.save_pretrained(folder)

    @classmethod
    def from_pretrained(cls, name, parts: tuple[str, ...] | None = None):
        """The model that `save_pretrained` wrote, from a folder or the hub, in evaluation mode.

        parts   build these parts only (or in addition: what the weights lack starts at random)

        Raises CheckpointError if there is no such model or its weights do not fit, ConfigError for impossible parts.
        """
        folder = find(name)
        settings = read_settings(folder, ("univl", "objectives"))
        try:
            config = override(UniVLConfig(), **{**settings["univl"], "parts": tuple(settings["univl"]["parts"])})
            objectives = override(ObjectiveConfig(), **settings["objectives"])
        except (ConfigError, KeyError, TypeError) as error:
            raise CheckpointError(f"{folder / 'config.json'} is not of a UniVL of this version: {error}") from error
        saved = set(config.parts)
        if parts is not None:
            config = override(config, parts=tuple(parts))
        model = cls(config, objectives)
        load_parts(model, folder / "model.safetensors", saved)
        return model.eval()


PART_MODULES = {"cross": ("cross.", "similarity."), "decoder": ("decoder.",), "heads": ("word_head.", "frame_head.")}


def load_parts(model, state_or_path, saved) -> None:
    """Load weights that have the parts `saved`; parts that only one side has are left alone."""
    wanted = set(model.config.parts)
    state = state_or_path if isinstance(state_or_path, dict) else read_weights(state_or_path)
    surplus = tuple(prefix for part in saved - wanted for prefix in PART_MODULES[part])
    state = {name: tensor for name, tensor in state.items() if not surplus or not name.startswith(surplus)}
    new = tuple(prefix for part in wanted - saved for prefix in PART_MODULES[part])
    load_weights(model, state, allow_missing=new)


_CARD = """\
---
license: mit
library_name: minivl
pipeline_tag: video-text-to-text
---
# UniVL

{parameters:,} parameters: {parts}. Made with minivl.

    from minivl.univl import UniVL
    model = UniVL.from_pretrained("this folder")

{card}"""
