"""Pseudo captions from LLaVA-NeXT: a multimodal model looks at every sampled frame and says what it shows.

Which model and which prompt the authors used is not known: the captions were released without them. Here the
prompt is a setting. One that contains {caption} shows the model the caption of the whole video as well: its words
then return in the frame captions where the frame allows, and each (video, caption) pair gets captions of its own.
One that does not describes each frame for itself, once per video.
"""

import json
import os
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from minivl.clip import ModelError
from minivl.config import ConfigError
from minivl.data.atomic import write_text
from minivl.data.clips import ClipDataset
from minivl.data.trust import refuse_code
from minivl.discovla.pseudo_captions import pair_keys, read_pseudo_captions, write_pseudo_captions
from minivl.hub.folders import find
from minivl.progress import tqdm

MODEL = "llava-hf/llava-v1.6-mistral-7b-hf"
PLAIN_PROMPT = "Describe what this image shows in one short sentence."
CONDITIONED_PROMPT = (
    'This image is one frame of a video. The whole video is described as: "{caption}". Describe in '
    "one short sentence what this frame shows of it. Leave out what cannot be seen in it."
)


class LlavaCaptioner:
    """A LLaVA-NeXT with its prompt.

    model, processor    transformers' `LlavaNextForConditionalGeneration` and `LlavaNextProcessor`
    prompt              what it is asked about each frame; {caption} stands for the caption of the video
    """

    def __init__(self, model: Any, processor: Any, prompt: str = CONDITIONED_PROMPT, max_new_tokens: int = 40):
        if processor.chat_template is None:
            raise ModelError("this processor has no chat template, so it is not known how the model wants to be asked")
        processor.tokenizer.padding_side = "left"  # generated words must follow the prompt, not its padding
        if processor.tokenizer.pad_token is None:
            processor.tokenizer.pad_token = processor.tokenizer.eos_token
        self.model, self.processor = model.eval(), processor
        self.prompt, self.max_new_tokens = prompt, max_new_tokens

    @classmethod
    def from_pretrained(
        cls,
        name: str | Path = MODEL,
        prompt: str = CONDITIONED_PROMPT,
        max_new_tokens: int = 40,
        device: str | torch.device = "cpu",
    ) -> "LlavaCaptioner":
        """Load a model by its name on the hub, or from a folder. Raises ModelError if it can't be had."""
        from transformers import LlavaNextForConditionalGeneration, LlavaNextProcessor

        try:
            folder = find(name)
            refuse_code(folder)
            model = LlavaNextForConditionalGeneration.from_pretrained(
                folder, dtype="auto", use_safetensors=True, trust_remote_code=False
            )
            processor = LlavaNextProcessor.from_pretrained(folder, trust_remote_code=False)
        except (OSError, ValueError) as error:
            raise ModelError(
                f"LLaVA-NeXT {str(name)!r} could not be had: {error}\nGive the name of a model on the hub "
                f"such as {MODEL}, or a folder that holds one with its processor."
            ) from error
        model.name_or_path = str(name)  # and not the folder of the cache
        model = model.to(device)  # type: ignore[arg-type]  # transformers' wrapper loses the type of self
        return cls(model, processor, prompt, max_new_tokens)

    @property
    def settings(self) -> dict:
        """Settings that decide the captions."""
        return {"model": self.model.name_or_path, "prompt": self.prompt, "max_new_tokens": self.max_new_tokens}

    def ask(self, caption: str) -> str:
        """The prompt about a frame of a video with this caption, in the model's chat format."""
        question = self.prompt.replace("{caption}", caption)
        return self.processor.apply_chat_template(
            [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": question}]}],
            add_generation_prompt=True,
        )

    @torch.inference_mode()
    def describe(self, images: list[Image.Image], captions: list[str]) -> list[str]:
        """A caption of each image, given the captions of their videos; greedy decoding."""
        inputs = self.processor(
            images=images, text=[self.ask(caption) for caption in captions], padding=True, return_tensors="pt"
        ).to(self.model.device, self.model.dtype)
        pad = self.processor.tokenizer.pad_token_id
        tokens = self.model.generate(**inputs, do_sample=False, max_new_tokens=self.max_new_tokens, pad_token_id=pad)
        answers = self.processor.batch_decode(tokens[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
        return [" ".join(answer.split()) for answer in answers]


def caption_clips(
    data: ClipDataset, captioner: LlavaCaptioner, path: str | Path, batch_size: int = 8, progress: bool = True
) -> dict[str, list[str]]:
    """Pseudo captions of all pairs of `data`, kept in the file `path` in the released format.

    Every pair is appended to `<path>.partial` when it is done, so a call that was interrupted goes on where it was;
    pairs that `path` has are not done again. `<path>.settings` says which model and prompt made them. batch_size is
    in images. Raises ConfigError if the file was made with other settings.
    """
    path, partial = Path(path), Path(f"{path}.partial")
    _check_settings(
        path,
        captioner.settings | {"max_frames": data.inputs.max_frames, "frames_per_second": data.inputs.frames_per_second},
    )
    keys = pair_keys(data)
    # The pair whose captions each pair has: its own, or the first of the video if the prompt leaves the caption out.
    alike = "{caption}" not in captioner.prompt
    first: dict[int | str, str] = {}
    source = [
        first.setdefault(int(clip) if alike else key, key) for key, clip in zip(keys, data.video_of_text, strict=True)
    ]
    finished = read_pseudo_captions(path) if path.exists() else {}
    done = finished | _read_partial(partial)
    to_do = [i for i, key in enumerate(keys) if key == source[i] and key not in done]
    with (
        partial.open("a", encoding="utf-8") as lines,
        tqdm(total=len(to_do), desc="LLaVA captions", unit="pair", disable=not progress) as bar,
    ):
        at_once = max(1, batch_size // data.inputs.max_frames)
        for some in (to_do[at : at + at_once] for at in range(0, len(to_do), at_once)):
            for i, captions in zip(some, _describe(data, some, captioner, batch_size), strict=True):
                done[keys[i]] = captions
                lines.write(json.dumps([keys[i], captions]) + "\n")
            lines.flush()
            bar.update(len(some))
    captions = {key: done[origin] for key, origin in zip(keys, source, strict=True)}
    if not captions.keys() <= finished.keys():
        write_pseudo_captions(path, finished | captions)
    partial.unlink()
    return captions


def _describe(data, pairs, captioner, batch_size):
    """Captions of the frames of some pairs, one list for each."""
    frames = [
        (Image.fromarray(frame), data.captions[i])
        for i in pairs
        for frame in data.frames(int(data.video_of_text[i]))[0]
    ]
    answers = []
    for at in range(0, len(frames), batch_size):
        images, captions = zip(*frames[at : at + batch_size], strict=True)
        answers += captioner.describe(list(images), list(captions))
    per_pair = data.inputs.max_frames
    return [answers[at : at + per_pair] for at in range(0, len(answers), per_pair)]


def _check_settings(path, settings):
    file = Path(f"{path}.settings")
    if file.exists() and (made_with := json.loads(file.read_text(encoding="utf-8"))) != settings:
        changed = ", ".join(
            f"{name} is {settings.get(name)!r} now and was {made_with.get(name)!r}"
            for name in settings | made_with
            if settings.get(name) != made_with.get(name)
        )
        raise ConfigError(f"the captions in {path} were made with other settings ({changed}): name another file")
    if path.exists() and not file.exists():
        raise ConfigError(
            f"{path} was not made here ({file.name} is missing): name another file, or read it with "
            "read_pseudo_captions"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(file, json.dumps(settings, indent=1))


def _read_partial(path):
    """Captions that an interrupted call left; a line that it had not written to its end is cut off."""
    if not path.exists():
        return {}
    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    os.truncate(path, len(whole))
    return dict(json.loads(line) for line in whole.splitlines())
