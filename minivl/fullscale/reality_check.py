"""The whole way once with real weights and real videos: download, zero-shot, a short adaptation, explorer, ledger.

    out/data/{train,test}/    videos and captions, in the one schema
    out/adapted/              the run, with its model
    out/scores.csv            cell, seed and scores; out/ledger.csv has rows about them, as `minivl.ledger` reads them
    out/page.html             both models in the explorer

A few videos of a corpus are no protocol of a paper: the scores say that all of this works, and no more.
"""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from minivl.clip import HUB
from minivl.config import ConfigError, Scale
from minivl.data.atomic import write_text
from minivl.data.online import require_hub
from minivl.explorer import together, write_page
from minivl.fullscale.hub_videos import HubVideos, fetch
from minivl.hub.downloads import DownloadError, download
from minivl.ledger import COLUMNS, SMALL, UNKNOWN, read_ledger
from minivl.tasks.alignments import explore_clip
from minivl.tasks.clip import retrieval

COMMAND, DEFAULT = "minivl reality-check", "ViT-B-32/openai"


def reality_check(
    clip: str, source: HubVideos, counts: Mapping[str, int], settings: Scale, out: Path, progress: bool = True
) -> pd.DataFrame:
    """Scores of a CLIP on real videos, zero-shot and adapted, one row each; everything is in the folder `out`.

    clip       as for `minivl search --model`
    counts     videos of "train" and "test"
    settings   of which `inputs`, `discovla` and `adapt` are read

    What is there already is kept, so an interrupted call can be repeated. Raises ConfigError if the hub does not
    answer, DownloadError for what breaks off or comes damaged.
    """
    require_hub()
    data = out / "data"
    fetch_model(clip)
    fetch(source, counts, data, progress)
    backbone, network, _ = retrieval.load_model(clip)
    train, test = (retrieval.clips(data, split, backbone, settings, counts[split]) for split in ("train", "test"))
    scores = {"zero-shot": retrieval.evaluate(network, test, progress=progress)}
    name, _, tag = (clip, "", "") if clip.startswith(HUB) or Path(clip).is_dir() else clip.partition("/")
    adapted = retrieval.adapt(name, tag or None, train, settings.discovla, settings.adapt, out / "adapted", progress)
    scores["adapted"] = retrieval.evaluate(adapted, test, progress=progress)
    seed = settings.adapt.seed
    table = pd.DataFrame([{"cell": cell, "seed": seed, **found.row()} for cell, found in scores.items()])
    write_text(out / "scores.csv", table.to_csv(index=False, float_format="%.6g", lineterminator="\n"))
    write_text(out / "ledger.csv", _ledger(clip, source, counts, settings).to_csv(index=False, lineterminator="\n"))
    read_ledger(out / "ledger.csv", out)
    shown = [explore_clip(name, data, "test", settings, progress=progress) for name in (clip, str(out / "adapted"))]
    write_page(together(shown), out / "page.html")
    return table


def fetch_model(clip: str) -> None:
    """Download the weights of a CLIP, unless they are in the cache, and compare them with the hub's hash."""
    if clip.startswith(HUB):
        download(clip.removeprefix(HUB), ["*.json", "*.safetensors", "*.txt"])
        return
    if Path(clip).is_dir() or clip == "kitchen":
        return
    from open_clip.pretrained import get_pretrained_cfg

    architecture, _, tag = clip.partition("/")
    repository = get_pretrained_cfg(architecture, tag).get("hf_hub", "").rstrip("/")
    if repository.count("/") != 1:
        raise ConfigError(f"the weights {tag!r} of {architecture} are not on the hub: name others, such as {DEFAULT}")
    if not list(download(repository, ["open_clip_model.safetensors"]).glob("*.safetensors")):
        raise DownloadError(f"{repository} has no open_clip_model.safetensors")


def _ledger(clip: str, source: HubVideos, counts: Mapping[str, int], settings: Scale) -> pd.DataFrame:
    """Rows of the ledger about both models."""
    adapt = settings.adapt
    about = {
        "paper": "none",
        "corpus": source.repository,
        "protocol": f"first {counts['test']} videos of {source.configurations['test']}, {clip}",
        "metric": "t2v R@1",
        "kind": "level",
        "paper_value": UNKNOWN,
        "command": COMMAND,
        "status": SMALL,
        "source_command": COMMAND,
        "note": "real videos, and too few of them for any number of a paper",
    }
    trained = f"{adapt.steps} steps on {counts['train']} videos"
    rows = [
        {**about, "table": "zero-shot", "task": "retrieval, zero-shot", "source": "scores.csv::zero-shot::t2v R@1"},
        {
            **about,
            "table": f"adapted, {trained}",
            "task": "retrieval, adapted",
            "source": "scores.csv::adapted::t2v R@1",
        },
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))
