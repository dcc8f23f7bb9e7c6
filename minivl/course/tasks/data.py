"""Before the model: which frames of a clip it sees, and how clips of different length become one batch."""

import numpy as np
import torch
from torch import Tensor

from minivl.course.task import task
from minivl.data.features import clip_features
from minivl.data.sampling import frame_indices


@task(points=2)
def sample_frames(num_frames: int, fps: float, max_frames: int) -> list[int]:
    """Numbers of the frames of a clip that the model sees: always max_frames of them.

    One frame per second: 0, s, 2s, ... with s = round(fps), below num_frames. If these are max_frames or more, take
    max_frames of them, evenly from the first to the last of them. If they are fewer, take max_frames of *all* frames
    instead, evenly from the first to the last frame (and some twice, if there are fewer).

    Evenly: np.linspace(first, last, count, dtype=int)
    """
    return frame_indices(num_frames, fps, max_frames)[0]


@sample_frames.set_cases
def _frame_cases(draw):
    yield "as many seconds as frames", {"num_frames": 40, "fps": 10.0, "max_frames": 4}
    yield "a long clip", {"num_frames": 295, "fps": 29.97, "max_frames": 4}
    yield "a short clip", {"num_frames": 25, "fps": 10.0, "max_frames": 6}
    yield "fewer frames than are asked for", {"num_frames": 3, "fps": 10.0, "max_frames": 5}


def _evenly(first, last, count, endpoint=True):
    return np.linspace(first, last, count, endpoint=endpoint, dtype=int).tolist()


def _sampled(num_frames, fps, max_frames, stride=round):
    grid = list(range(0, num_frames, stride(fps)))
    if len(grid) < max_frames:
        return _evenly(0, num_frames - 1, max_frames)
    return [grid[i] for i in _evenly(0, len(grid) - 1, max_frames)]


@sample_frames.mistake(
    "A long clip loses its end: you keep the first of its seconds. Spread them from the first to the last."
)
def _first_seconds(num_frames, fps, max_frames):
    grid = list(range(0, num_frames, round(fps)))
    return grid[:max_frames] if len(grid) >= max_frames else _sampled(num_frames, fps, max_frames)


@sample_frames.mistake(
    "You always spread over all frames. With enough seconds, choose among the frames of the one-per-second grid."
)
def _no_grid(num_frames, fps, max_frames):
    return _evenly(0, num_frames - 1, max_frames)


@sample_frames.mistake(
    "A short clip has too few frames: the model needs max_frames of them. Spread these over all frames."
)
def _too_few(num_frames, fps, max_frames):
    grid = list(range(0, num_frames, round(fps)))
    return grid if len(grid) < max_frames else _sampled(num_frames, fps, max_frames)


@sample_frames.mistake("29.97 frames per second are 30, not 29: round fps, do not cut it off.")
def _cut_off_fps(num_frames, fps, max_frames):
    return _sampled(num_frames, fps, max_frames, int)


@sample_frames.mistake("The last frame is never seen: evenly means both ends included.")
def _without_the_end(num_frames, fps, max_frames):
    grid = list(range(0, num_frames, round(fps)))
    if len(grid) < max_frames:
        return _evenly(0, num_frames, max_frames, endpoint=False)
    return [grid[i] for i in _evenly(0, len(grid), max_frames, endpoint=False)]


@sample_frames.mistake(
    "A short clip is filled up by repeating its last second. Spread over all frames instead: more is seen."
)
def _last_repeated(num_frames, fps, max_frames):
    grid = list(range(0, num_frames, round(fps)))
    if len(grid) < max_frames:
        return grid + [grid[-1]] * (max_frames - len(grid))
    return _sampled(num_frames, fps, max_frames)


@task(points=2)
def collate_clips(videos: list[list[Tensor]], max_frames: int) -> tuple[Tensor, Tensor]:
    """One batch of the clips of several videos: padded to max_frames, with a mask. Neighbouring rows are one video.

    Of a clip with more frames the first max_frames stay. Behind the end of a shorter one stand zeros.

    videos   V videos of n clips each; a clip is (T, F), and T differs from clip to clip
    -> video (V n, max_frames, F); mask (V n, max_frames): 1 for real frames, 0 for padding, whole numbers
    """
    clips = [clip_features(clip.numpy(), 1.0, None, None, max_frames) for video in videos for clip in video]
    return torch.stack([torch.tensor(rows) for rows, _ in clips]), torch.stack(
        [torch.tensor(mask) for _, mask in clips]
    )


@collate_clips.set_cases
def _collate_cases(draw):
    yield "one video of two clips", {"videos": [_clips(draw, 2, 3)], "max_frames": 3}
    yield "two videos of two clips", {"videos": [_clips(draw, 4, 1), _clips(draw, 3, 2)], "max_frames": 5}
    yield "clips that are too long", {"videos": [_clips(draw, 6, 2), _clips(draw, 5, 4)], "max_frames": 4}
    dark = draw(3, 4)
    dark[1] = 0.0
    yield "a real frame whose numbers are all 0", {"videos": [[dark, draw(2, 4)]], "max_frames": 4}


def _clips(draw, *lengths):
    return [draw(length, 4) for length in lengths]


def _collated(videos, max_frames, padded):
    """All clips in the order of their videos, each cut and `padded`, and the mask."""
    clips = [clip[:max_frames] for video in videos for clip in video]
    mask = torch.tensor([[int(t < len(clip)) for t in range(max_frames)] for clip in clips])
    return torch.stack([padded(clip, max_frames - len(clip)) for clip in clips]), mask


def _zeros_behind(clip, missing):
    return torch.cat([clip, clip.new_zeros(missing, clip.shape[1])])


@collate_clips.mistake("The mask is all ones: nothing tells the model that the zeros behind a clip are no frames.")
def _all_real(videos, max_frames):
    video, mask = _collated(videos, max_frames, _zeros_behind)
    return video, torch.ones_like(mask)


@collate_clips.mistake("The mask is the wrong way round: 1 is for real frames and 0 for padding.")
def _mask_inverted(videos, max_frames):
    video, mask = _collated(videos, max_frames, _zeros_behind)
    return video, 1 - mask


@collate_clips.mistake(
    "Your mask asks whether a frame is all zeros, and a real frame can be. The length of a clip says what is padding."
)
def _mask_of_what_is_not_zero(videos, max_frames):
    video, _ = _collated(videos, max_frames, _zeros_behind)
    return video, video.any(-1).long()


@collate_clips.mistake("The zeros stand before the clip. Padding comes behind it: a clip begins at place 0.")
def _zeros_before(videos, max_frames):
    video, mask = _collated(videos, max_frames, lambda clip, missing: _zeros_behind(clip.flip(0), missing).flip(0))
    return video, mask.flip(1)


@collate_clips.mistake("A short clip is filled up with its last frame. Padding is zeros, and 0 in the mask.")
def _last_frame_repeated(videos, max_frames):
    return _collated(videos, max_frames, lambda clip, missing: torch.cat([clip, clip[-1:].expand(missing, -1)]))


@collate_clips.mistake("Of a clip that is too long, the end is kept. UniVL keeps its first max_frames frames.")
def _end_kept(videos, max_frames):
    return _collated([[clip[-max_frames:] for clip in video] for video in videos], max_frames, _zeros_behind)


@collate_clips.mistake(
    "You pad to the longest clip of the batch. Batches would differ in shape; pad, or cut, to max_frames."
)
def _longest_of_the_batch(videos, max_frames):
    return _collated(videos, max(len(clip) for video in videos for clip in video), _zeros_behind)


@collate_clips.mistake(
    "The clips are in the wrong order: first all first clips, then all second ones. Clips of a video are neighbours, "
    "which is how MIL-NCE finds its positives."
)
def _videos_mixed(videos, max_frames):
    return _collated(list(zip(*videos, strict=True)), max_frames, _zeros_behind)
