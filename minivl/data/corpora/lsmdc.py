"""LSMDC: 118,081 clips of 202 films, each with a sentence of the audio description.

From       sites.google.com/site/describingmovies, after a signed agreement
Licence    research only, by that agreement
Splits     train 101,079 clips, val 7,408, test the 1,000 public ones of the 2016 challenge
Protocols  standard: one row per clip; a clip that is named several times has several `captions`
Times      those in the files are times in the film, and the clip is already cut out: rows have no start and end
Layout     LSMDC16_annos_training.csv, LSMDC16_annos_val.csv, LSMDC16_challenge_1000_publictect.csv (tabs, no header:
           clip id, start and end aligned, start and end extracted, sentence), <clip id>.avi or .mp4 in any folder below
"""

from collections.abc import Iterator
from pathlib import Path

from minivl.data.corpora.common import Corpus, Problems
from minivl.data.corpora.files import find_file, read_table

FILES = {
    "train": "LSMDC16_annos_training.csv",
    "val": "LSMDC16_annos_val.csv",
    "test": "LSMDC16_challenge_1000_publictect.csv",
}
COLUMNS = ("clip", "start_aligned", "end_aligned", "start_extracted", "end_extracted", "sentence")


def read(folder: Path, split: str, protocol: str, problems: Problems) -> Iterator[dict]:
    """One row per clip, in the order in which the file names them first."""
    captions: dict[str, list[str]] = {}
    for where, line in read_table(find_file(folder, FILES[split]), COLUMNS, header=False):
        sentence = line["sentence"].strip()
        if sentence:
            captions.setdefault(line["clip"].strip(), []).append(sentence)
        else:
            problems.add("lines without a sentence, left out", where)
    for clip, sentences in captions.items():
        yield {"video_id": clip, "captions": sentences, "media": {clip: {}}}


CORPUS = Corpus("lsmdc", __doc__, tuple(FILES), read)
