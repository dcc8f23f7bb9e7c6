"""CrossTask: 4,700 instructional videos from YouTube; the 2,750 of 18 primary tasks have timed steps.

From       github.com/DmZhukov/CrossTask (crosstask_release.zip)
Licence    code BSD 3-clause; the videos belong to their makers
Splits     val is videos_val.csv. Of the other videos of each primary task 30 are drawn for train, the rest is test
Protocols  draw-0 (the default) to draw-19: the seed of that draw; papers report the mean of 20 draws
Rows       one per video with its `task`, `steps` and `task_steps`; videos without a file of annotations are left out
Steps      may overlap
Speech     not in the release. The videos are part of HowTo100M: with its captions beside the annotations, rows have a
           `transcript`, which fine-tuning needs; scores without fine-tuning do not
Layout     tasks_primary.txt, videos.csv, videos_val.csv (task,video,url; no header), annotations/<task>_<video>.csv
           (step from 1,start,end); or all of this in crosstask_release/; <video>.npy or .mp4 in any folder below;
           if wanted raw_caption.json, caption.json or caption.pickle of HowTo100M
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from minivl.data.corpora.common import Corpus, Problems, clean_segments, parse_segment
from minivl.data.corpora.files import find_file, find_optional, read_table, read_text
from minivl.data.corpora.narrations import CAPTIONS, caption_entries, spoken
from minivl.data.schema import SchemaError

PER_TASK = 30  # videos drawn for training
LIST = ("task", "video", "url")


def read(folder: Path, split: str, protocol: str, problems: Problems) -> Iterator[dict]:
    """One row per annotated video of the primary tasks."""
    tasks = _tasks(find_file(folder, "tasks_primary.txt", "crosstask_release/tasks_primary.txt"))
    pairs = _split(folder, split, int(protocol.removeprefix("draw-")), tasks, problems)
    speech = _speech(folder, {video for _, video in pairs}, problems)
    for task, video in pairs:
        title, labels = tasks[task]
        steps = _steps(folder, task, video, labels)
        if steps is None:
            problems.add("videos without annotations, left out", f"{task}_{video}")
        else:
            said = {} if speech is None else {"transcript": speech.get(video, [])}
            yield {
                "video_id": video,
                "task": title,
                "task_steps": labels,
                "media": {video: {}},
                "steps": clean_segments(steps, f"{task}_{video}", problems),
                **said,
            }


def _tasks(path: Path) -> dict[str, tuple[str, list[str]]]:
    """Number of a task -> its title and steps. A block of five lines each: number, title, link, count, steps."""
    blocks = read_text(path).strip().split("\n\n")
    tasks = {}
    for block in blocks:
        lines = [line.strip() for line in block.strip().split("\n")]
        labels = lines[-1].split(",")
        if len(lines) != 5 or lines[3] != str(len(labels)) or lines[0] in tasks:
            raise SchemaError(f"{path}: expected number, title, link, count, steps of a new task, got {lines!r:.120}")
        tasks[lines[0]] = (lines[1], labels)
    return tasks


def _split(folder: Path, split: str, draw: int, tasks: dict, problems: Problems) -> list[tuple[str, str]]:
    held_out = _videos(find_file(folder, "videos_val.csv", "crosstask_release/videos_val.csv"), tasks, problems)
    if split == "val":
        return held_out
    videos = _videos(find_file(folder, "videos.csv", "crosstask_release/videos.csv"), tasks, problems)
    rng, set_aside, chosen = np.random.default_rng(draw), set(held_out), []
    for task in tasks:
        own = [pair for pair in videos if pair[0] == task and pair not in set_aside]
        drawn = set(rng.permutation(len(own))[:PER_TASK].tolist())
        chosen += [pair for number, pair in enumerate(own) if (number in drawn) == (split == "train")]
    return chosen


def _videos(path: Path, tasks: dict, problems: Problems) -> list[tuple[str, str]]:
    """(task, video) of the primary tasks. One video may show several tasks, but not one task twice."""
    pairs: dict[tuple[str, str], None] = {}
    for where, line in read_table(path, LIST, header=False):
        pair = (line["task"].strip(), line["video"].strip())
        if pair in pairs:
            problems.add("lines that are there twice, read once", where)
        pairs[pair] = None
    return [pair for pair in pairs if pair[0] in tasks]


def _speech(folder: Path, videos: set[str], problems: Problems) -> dict[str, list[dict]] | None:
    """Transcripts of some videos, if HowTo100M's captions are there; JSON is read video by video."""
    captions = find_optional(folder, *CAPTIONS)
    if captions is None:
        return None
    said = {
        video: spoken(video, entry, captions, problems) for video, entry in caption_entries(captions) if video in videos
    }
    for video in sorted(videos - said.keys()):
        problems.add("videos without captions, their transcript is empty", video)
    return said


def _steps(folder: Path, task: str, video: str, labels: list[str]) -> list[dict] | None:
    path = find_optional(folder, *(f"{place}annotations/{task}_{video}.csv" for place in ("", "crosstask_release/")))
    if path is None:
        return None
    steps = []
    for where, line in read_table(path, ("step", "start", "end"), header=False) if path.stat().st_size else ():
        if not line["step"].strip().isdecimal() or not 1 <= int(line["step"]) <= len(labels):
            raise SchemaError(f"{where}: the step must be a number from 1 to {len(labels)}, got {line['step']!r}")
        steps.append({"label": labels[int(line["step"]) - 1], **parse_segment([line["start"], line["end"]], where)})
    return steps


CORPUS = Corpus("crosstask", __doc__, ("train", "val", "test"), read, tuple(f"draw-{n}" for n in range(20)), True)
