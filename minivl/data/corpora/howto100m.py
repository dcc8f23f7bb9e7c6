"""HowTo100M: 1.2 million instructional YouTube videos, 15 years long, with 136 million sentences of speech.

From       www.di.ens.fr/willow/research/howto100m (captions, list of videos); S3D features: extract them
Licence    for research; the videos belong to their makers
Splits     train
Protocols  standard: one row per video with its `transcript`, from which training clips are cut
Segments   overlap freely
Prepared   by the first use, or by `prepare`: captions are sorted into shards in <folder>/prepared, in the order of the
           caption file. JSON is read in constant memory; caption.pickle is read whole, which takes several times
           its size
Layout     HowTo100M.csv (video_id,feature_file), caption.pickle or raw_caption.json or caption.json ({video_id: {start,
           end, text}}), features/<feature_file> (.npy, one row per second)
"""

from pathlib import Path
from typing import TYPE_CHECKING

from minivl.data.corpora.common import Corpus, Problems
from minivl.data.corpora.files import find_file
from minivl.data.corpora.narrations import CAPTIONS, narrated_rows
from minivl.data.corpora.shards import read_index, write_shards
from minivl.data.schema import first_rows

if TYPE_CHECKING:
    from datasets import Dataset


def prepare(folder: Path | str, media: Path | str | None = None, feature_rate: float = 1.0) -> Path:
    """Sort captions and names of features into shards below `folder`, replacing older ones. The folder of the shards.

    media: folder of the feature files, None for <folder>/features. feature_rate: rows per second. Videos without
    captions or features are left out, with a warning that counts them.
    """
    folder, problems = CORPUS.folder(folder), Problems()
    identity = _identity(folder, media, feature_rate)
    rows = narrated_rows(*source_files(folder), features_folder(folder, media), feature_rate, problems)
    write_shards(folder / "prepared", rows, lambda: identity | {"problems": problems.lines()})
    problems.warn(f"howto100m in {folder}")
    return folder / "prepared"


def source_files(folder: Path) -> tuple[Path, Path]:
    """The list of videos and the captions. Raises FileNotFoundError."""
    try:
        return find_file(folder, "HowTo100M.csv"), find_file(folder, *CAPTIONS)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{error}\n{CORPUS.name}: {CORPUS.layout}") from error


def features_folder(folder: Path, media: Path | str | None) -> Path:
    """Folder of the feature files."""
    return (folder / "features" if media is None else Path(media)).absolute()


def _identity(folder: Path, media: Path | str | None, feature_rate: float) -> dict:
    """Everything that shards are made from: when it changes, they are made anew."""
    return {
        "files": {path.name: [path.stat().st_size, path.stat().st_mtime_ns] for path in source_files(folder)},
        "features": str(features_folder(folder, media)),
        "feature_rate": feature_rate,
    }


def _shards(folder: Path | str, media: Path | str | None, feature_rate: float) -> list[str]:
    folder = CORPUS.folder(folder)
    identity = _identity(folder, media, feature_rate)
    if not identity.items() <= read_index(folder / "prepared").items():
        prepare(folder, media, feature_rate)
    target = folder.absolute() / "prepared"
    return [str(target / name) for name in read_index(target)["shards"]]


class HowTo100M(Corpus):
    """This corpus is too large to be read at once: rows are read from shards, where they lie on disk."""

    def load(
        self,
        folder: Path | str,
        split: str = "train",
        protocol: str | None = None,
        subset: int | None = None,
        transcripts: bool = True,
        source: str | None = None,
        media: Path | str | None = None,
        feature_rate: float = 1.0,
    ) -> "Dataset":
        """All videos, or the first `subset`, as a `datasets.Dataset` that reads the shards where they lie on disk.

        The settings are those of `Corpus.load`; media is the folder of the feature files, None for <folder>/features.
        """
        from datasets import Dataset, concatenate_datasets

        self.expect(split, protocol or self.protocols[0], source, sources=("features",))
        rows = concatenate_datasets([Dataset.from_file(shard) for shard in _shards(folder, media, feature_rate)])
        rows = first_rows(rows, subset)
        return rows if transcripts else rows.remove_columns("transcript")


CORPUS = HowTo100M("howto100m", __doc__, ("train",))
