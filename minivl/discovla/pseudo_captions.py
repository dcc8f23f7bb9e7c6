"""Pseudo captions: for every (video, caption) pair a short caption of each sampled frame, for training only.

Three sources, one form: a mapping from `pair_key(video_id, caption)` to F captions, in the order of the frames.

    read_pseudo_captions    a JSON file in the format of the released code
    rendered_captions       what the world's renderer knows about its frames, with as much noise as asked for;
                            `conditioned_captions` keeps of it what the caption of the video speaks about
    minivl.discovla.llava   LLaVA-NeXT looks at the frames

`with_pseudo_captions` gives them to a data set.
"""

import json
import warnings
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from minivl.config import ConfigError
from minivl.data.atomic import write_text
from minivl.data.clips import ClipDataset
from minivl.data.schema import SchemaError, listing
from minivl.data.world.language import things_named

NOISE = ("other", "vague")
VAGUE = ("a picture of a kitchen", "something on the counter", "someone does something", "a hand in the kitchen")


def pair_key(video_id: str, caption: str) -> str:
    """The name of a pair in the released format."""
    return f"{video_id}_{caption}"


def read_pseudo_captions(path: str | Path) -> dict[str, list[str]]:
    """A JSON file {"<video_id>_<caption>": [a caption per frame]}, checked entry by entry.

    Raises FileNotFoundError, and SchemaError for a file that is not UTF-8, not JSON or of another form.
    """
    path = Path(path)
    try:
        captions = json.loads(path.read_bytes().decode())
    except (ValueError, RecursionError) as error:
        raise SchemaError(f"{path} is not a JSON file in UTF-8: {error}") from error
    expected = 'expected {"<video_id>_<caption>": [one caption per frame, ...], ...}'
    if not isinstance(captions, dict) or not captions:
        raise SchemaError(
            f"{path} holds {'no entries' if captions == {} else f'a {type(captions).__name__}'}: {expected}"
        )
    wrong = {key: problem for key, value in captions.items() if (problem := _problem(value))}
    if wrong:
        raise SchemaError(
            f"{path}: {len(wrong)} of {len(captions)} entries are wrong, {expected}:"
            + listing(f"{key!r:.80}: {problem}" for key, problem in wrong.items())
        )
    return captions


def write_pseudo_captions(path: str | Path, captions: Mapping[str, list[str]]) -> None:
    """Write captions in the released format; the file is there as a whole or not at all."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(captions, indent=0, ensure_ascii=False) + "\n")


def rendered_captions(
    data: ClipDataset, noise: float = 0.0, kind: str = "other", seed: int = 0
) -> dict[str, list[str]]:
    """The column `frame_captions` of the rows of `data`, of which a share `noise` is replaced.

    kind    "other": by the caption of another frame, mostly of another video; "vague": by one that says next to nothing

    A caption is replaced if its own random number, which only the seed decides, is below `noise`: more noise keeps
    what was replaced before. Where rows have more or fewer captions than frames are sampled, they are spread evenly.
    Raises SchemaError for rows without the column, ConfigError for noise outside of [0, 1] or another kind.
    """
    if "frame_captions" not in data.rows.column_names:
        raise SchemaError(
            "these clips have no column `frame_captions`: give them pseudo captions from a file or from "
            "LLaVA (minivl.discovla.pseudo_captions), or set alpha and beta to 0"
        )
    if kind not in NOISE or not 0 <= noise <= 1:
        raise ConfigError(f"noise must be a share from 0 to 1 of kind {' or '.join(NOISE)}, not {noise} of {kind!r}")
    clean = [_spread(captions, data.inputs.max_frames) for captions in data.rows["frame_captions"]]
    choices = VAGUE if kind == "vague" else [caption for captions in clean for caption in captions]
    random = np.random.default_rng(seed)
    replaced = random.random((len(clean), data.inputs.max_frames)) < noise
    drawn = random.integers(len(choices), size=replaced.shape)
    noisy = [
        [choices[new] if swap else caption for caption, swap, new in zip(*row, strict=True)]
        for row in zip(clean, replaced, drawn, strict=True)
    ]
    return {key: noisy[int(clip)] for key, clip in zip(pair_keys(data), data.video_of_text, strict=True)}


def conditioned_captions(data: ClipDataset, obeys: bool = True) -> dict[str, list[str]]:
    """What a model says of each frame that is shown the caption of the video, too; the renderer plays the model.

    A frame keeps its rendered caption if that names a thing which the video's caption names as well; of any other frame
    the model says next to nothing, because what it shows was not asked for. A model that does not obey (`obeys=False`)
    fails to leave out what it cannot see, and repeats the video's caption for every frame.
    """
    answers = {}
    for caption, (key, seen) in zip(data.captions, rendered_captions(data).items(), strict=True):
        asked = things_named(caption)
        told = [what if asked & things_named(what) else VAGUE[i % len(VAGUE)] for i, what in enumerate(seen)]
        answers[key] = told if obeys else [caption] * len(seen)
    return answers


def with_pseudo_captions(
    data: ClipDataset, captions: Mapping[str, list[str]], allow_missing: bool = False
) -> ClipDataset:
    """`data` with the pseudo captions of each of its pairs.

    Pairs without an entry are an error, or are left out with a warning that counts them (`allow_missing`); entries
    without a pair are not looked at. Raises SchemaError for missing entries and for a wrong number of captions.
    """
    keys, frames = pair_keys(data), data.inputs.max_frames
    wrong = [
        f"{key!r:.80} has {len(captions[key])}" for key in keys if key in captions and len(captions[key]) != frames
    ]
    if wrong:
        raise SchemaError(
            f"there must be one caption for each of the {frames} frames of a clip, but {len(wrong)} "
            f"pairs have another number:{listing(wrong)}"
        )
    missing = [key for key in keys if key not in captions]
    if missing:
        message = f"{len(missing)} of {len(keys)} pairs have no pseudo captions:" + listing(
            f"{key!r:.80}" for key in missing
        )
        if not allow_missing or len(missing) == len(keys):
            raise SchemaError(
                f"{message}\nThe keys must be <video_id>_<caption>; allow_missing trains on the pairs that have some."
            )
        warnings.warn(f"left out of training: {message}", stacklevel=2)
    return data.with_frame_captions([captions.get(key) for key in keys])


def pair_keys(data: ClipDataset) -> list[str]:
    """The key of each (video, caption) pair of `data`. Raises SchemaError if two different pairs have the same one."""
    ids = data.rows["video_id"]
    pairs = [(ids[int(clip)], caption) for clip, caption in zip(data.video_of_text, data.captions, strict=True)]
    owner = {pair_key(*pair): pair for pair in pairs}
    clashes = [f"{pair} and {owner[pair_key(*pair)]}" for pair in pairs if owner[pair_key(*pair)] != pair]
    if clashes:
        raise SchemaError(f"different pairs have the same key <video_id>_<caption>:{listing(clashes)}")
    return [pair_key(*pair) for pair in pairs]


def _problem(captions) -> str | None:
    """Reason why an entry of a file is wrong; None if it is right."""
    if not isinstance(captions, list) or not captions:
        return f"{captions!r:.40} is not a list of captions"
    for number, caption in enumerate(captions):
        if not isinstance(caption, str):
            return f"caption {number} is {caption!r:.40}, not a string"
        if any("\ud800" <= character <= "\udfff" for character in caption):
            return f"caption {number} holds half a character (a lone surrogate)"
    return None


def _spread(captions: list[str], frames: int) -> list[str]:
    return [captions[i] for i in np.linspace(0, len(captions) - 1, frames).round().astype(int)]
