"""The hash of test data: of what is in the files, not of where they are."""

import json
import shutil

import numpy as np

from minivl.data.fingerprint import rows_hash
from minivl.data.schema import load_split


def write(folder, caption="a pot", video=b"frames", feature=1.0):
    place = folder / "test"
    place.mkdir(parents=True)
    (place / "a.mp4").write_bytes(video)
    np.save(place / "a.npy", np.full((2, 3), feature, np.float32))
    row = {"file_name": "a.mp4", "feature_file": "a.npy", "feature_rate": 1.0, "caption": caption}
    (place / "metadata.jsonl").write_text(json.dumps(row) + "\n")
    return folder


def test_a_copy_has_the_same_hash_and_any_change_another(tmp_path):
    first = write(tmp_path / "first")
    shutil.copytree(first, tmp_path / "copy")
    others = [
        write(tmp_path / "caption", caption="a lid"),
        write(tmp_path / "video", video=b"others"),
        write(tmp_path / "feature", feature=2.0),
    ]
    hashes = [rows_hash(load_split(folder, "test")) for folder in (first, tmp_path / "copy", *others)]
    assert hashes[0] == hashes[1] and len(set(hashes)) == 4
