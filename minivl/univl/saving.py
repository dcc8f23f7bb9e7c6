"""Saving a UniVL with its settings, and reading it back."""

import dataclasses
from collections.abc import Mapping, Set
from pathlib import Path
from typing import Any, Self

from torch import Tensor, nn

from minivl.config import ObjectiveConfig, UniVLConfig, override
from minivl.hub.checkpoints import build, load_weights, weights_of
from minivl.hub.folders import CONFIG, WEIGHTS, PushToHubMixin, find, model_card, read_configs, write_folder

PART_MODULES = {"cross": ("cross.", "similarity."), "decoder": ("decoder.",), "heads": ("word_head.", "frame_head.")}


class PretrainedMixin(PushToHubMixin, nn.Module):
    """Adds `save_pretrained`, `from_pretrained` and `push_to_hub` to UniVL."""

    config: UniVLConfig
    objectives: ObjectiveConfig

    def save_pretrained(  # type: ignore[override]  # the mixin's `options`, by name
        self, folder: Path | str, tokenizer: Any = None, card: str = "", inputs: dict | None = None
    ) -> None:
        """Write settings, weights and a model card into `folder`, and the tokenizer, if there is one, beside them.

        card     Markdown about data, command, scores and limits: see `minivl.hub.folders.sections`
        inputs   {"max_words", "max_frames"} of its training: frames have the positions after `max_words`
        """
        settings = {"univl": dataclasses.asdict(self.config), "objectives": dataclasses.asdict(self.objectives)}
        settings |= {"inputs": inputs} if inputs else {}
        text = _CARD.format(
            parameters=sum(p.numel() for p in self.parameters()),
            parts=", ".join(("text encoder", "video encoder", *self.config.parts)),
            card=card,
        )
        card = model_card(text, license="mit", library_name="minivl", pipeline_tag="video-text-to-text")
        write_folder(Path(folder), settings, {WEIGHTS: self.state_dict()}, card, tokenizer=tokenizer)

    @classmethod
    def from_pretrained(cls, name: Path | str, parts: tuple[str, ...] | None = None) -> Self:
        """The model that `save_pretrained` wrote, from a folder or the hub, in evaluation mode.

        parts   build these parts only (or in addition: what the weights lack starts at random)

        Raises CheckpointError if there is no such model or its weights do not fit, ConfigError for impossible parts.
        """
        folder = find(name)
        config, objectives = read_configs(folder, univl=UniVLConfig, objectives=ObjectiveConfig)
        saved = set(config.parts)
        if parts is not None:
            config = override(config, parts=tuple(parts))
        model = build(lambda: cls(config, objectives), folder / CONFIG)
        load_parts(model, folder / WEIGHTS, saved)
        return model.eval()


def load_parts(model: "PretrainedMixin", state_or_path: Mapping[str, Tensor] | Path | str, saved: Set[str]) -> None:
    """Load weights that have the parts `saved`; parts that only one side has are left alone."""
    wanted = set(model.config.parts)
    state, origin = weights_of(state_or_path)
    surplus = tuple(prefix for part in saved - wanted for prefix in PART_MODULES[part])
    state = {name: tensor for name, tensor in state.items() if not name.startswith(surplus)}
    new = tuple(prefix for part in wanted - saved for prefix in PART_MODULES[part])
    load_weights(model, state, allow_missing=new, origin=origin)


_CARD = """\
# UniVL

{parameters:,} parameters: {parts}. Made with minivl.

    from minivl.univl import UniVL
    model = UniVL.from_pretrained("this folder")

{card}"""
