"""Small corpora in the formats that the real ones are released in; the texts are made up."""

import json
import pickle
from pathlib import Path

import numpy as np

SECONDS, SIZE = 40, 8  # of the features: one row per second


def write(path: Path, content) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def values(number: int, seconds: int = SECONDS) -> np.ndarray:
    """Features (seconds, SIZE) that tell which video they are of, and which second."""
    return (100 * number + np.arange(seconds, dtype=np.float32))[:, None].repeat(SIZE, axis=1)


def features(folder: Path, names, seconds: int = SECONDS) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names):
        np.save(folder / f"{name}.npy", values(number, seconds))


def texts(*strings) -> np.ndarray:
    return np.array(strings, dtype=object)


def sentences(video: str, count: int) -> dict:
    """What is said in a video, as raw_caption.json has it: sentences of 3 seconds that overlap by one."""
    return {
        "start": [2.0 * n for n in range(count)],
        "end": [2.0 * n + 3 for n in range(count)],
        "text": [f"{video} says {n}" for n in range(count)],
    }


def howto100m(folder: Path, videos: int = 6, count: int = 7, pickled: bool = False) -> Path:
    names = [f"vid-{n:05d}" for n in range(videos)]
    write(folder / "HowTo100M.csv", "video_id,feature_file\n" + "".join(f"{name},{name}.npy\n" for name in names))
    captions = {name: sentences(name, count) for name in names}
    if pickled:
        arrays = {name: {key: texts(*column) for key, column in entry.items()} for name, entry in captions.items()}
        (folder / "caption.pickle").write_bytes(pickle.dumps(arrays))
    else:
        write(folder / "raw_caption.json", captions)
    features(folder / "features", names)
    return folder


YOUCOOK2 = {
    "GLd3aX16zBg": (
        "113",
        "training",
        [(10, 20, "spread margarine on bread", "so now the butter"), (20, 31, "place cheese on top", "NONE")],
    ),
    "fn9anlEL4FI": ("113", "training", [(3, 9, "cut the onion", "we cut")]),
    "xHr8X2Wpmno": ("101", "validation", [(0, 5.5, "boil the water", "a pot of water"), (7, 9, "add salt", "")]),
}


def youcook2_release(folder: Path, transcripts: bool = True) -> Path:
    data = {}
    for video, (_, _, steps) in YOUCOOK2.items():
        starts, ends, captions, said = (texts(*column) for column in zip(*steps, strict=True))
        data[video] = {"start": starts, "end": ends, "text": captions} | ({"transcript": said} if transcripts else {})
    for split, subset in (("train", "training"), ("val", "validation")):
        names = [video for video, entry in YOUCOOK2.items() if entry[1] == subset]
        write(folder / f"youcookii_{split}.csv", "video_id,feature_file\n" + "".join(f"{n},{n}\n" for n in names))
    name = "youcookii_data.pickle" if transcripts else "youcookii_data.no_transcript.pickle"
    (folder / name).write_bytes(pickle.dumps(data))
    stored = {video: values(number) for number, video in enumerate(YOUCOOK2)}
    (folder / "youcookii_videos_features.pickle").write_bytes(pickle.dumps(stored))
    return folder


def youcook2_official(folder: Path) -> Path:
    database = {
        video: {
            "duration": 39.9,
            "subset": subset,
            "recipe_type": recipe,
            "video_url": "",
            "annotations": [
                {"segment": [start, end], "id": n, "sentence": caption}
                for n, (start, end, caption, _) in enumerate(steps)
            ],
        }
        for video, (recipe, subset, steps) in YOUCOOK2.items()
    }
    write(folder / "youcookii_annotations_trainval.json", {"database": database})
    features(folder / "features", YOUCOOK2)
    return folder


def msrvtt(folder: Path, clip: bytes) -> Path:
    """All 10,000 videos are listed, because the captioning split goes by their order; few have sentences and files."""
    described = [0, 1, 2, 6512, 6513, 7009, 7010, 9999]
    videos = [
        {
            "id": n,
            "video_id": f"video{n}",
            "category": 3,
            "url": "",
            "start time": 1.0,
            "end time": 9.0,
            "split": "train",
        }
        for n in range(10_000)
    ]
    captions = [
        {"sen_id": 2 * n + k, "video_id": f"video{n}", "caption": f"sentence {k} of {n}, really"}
        for n in described
        for k in range(2)
    ]
    write(folder / "MSRVTT_data.json", {"info": {}, "videos": videos, "sentences": captions})
    write(folder / "MSRVTT_train.9k.csv", "video_id\nvideo0\nvideo6513\nvideo1\n")
    write(folder / "MSRVTT_train.7k.csv", "video_id\nvideo0\nvideo1\n")
    write(
        folder / "MSRVTT_JSFUSION_test.csv",
        "key,vid_key,video_id,sentence\n"
        'ret0,msr9999,video9999,"a man, laughing, sings"\nret1,msr7010,video7010,a cat eats\n',
    )
    for number in described:
        path = folder / "MSRVTT_Videos" / f"video{number}.mp4"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(clip)
    return folder


def lsmdc(folder: Path, clip: bytes) -> Path:
    def line(name, sentence):
        return f"{name}\t00.00.51.926\t00.00.54.129\t00.00.51.926\t00.00.54.129\t{sentence}\n"

    beauty, titanic = "0001_American_Beauty_00.00.51.926-00.00.54.129", "3080_Titanic_00.10.00.000-00.10.02.500"
    write(
        folder / "LSMDC16_annos_training.csv",
        line(beauty, 'SOMEONE says "hi", then leaves.')
        + line(titanic, "She waves.")
        + line(beauty, "He sits down, slowly"),
    )
    write(folder / "LSMDC16_annos_val.csv", line(titanic, "A ship."))
    write(folder / "LSMDC16_challenge_1000_publictect.csv", line(titanic, "Waves; and a ship."))
    for name in (beauty, titanic):
        path = folder / "videos" / name.rsplit("_", 1)[0] / f"{name}.avi"
        path.parent.mkdir(parents=True)
        path.write_bytes(clip)
    return folder


def activitynet(folder: Path) -> Path:
    def entry(*timed):
        return {
            "duration": 39.5,
            "timestamps": [[start, end] for start, end, _ in timed],
            "sentences": [text for _, _, text in timed],
        }

    write(
        folder / "train.json",
        {"v_QOlSCBRmfWY": entry((0.83, 19.86, "A young woman is seen standing."), (17.37, 39, " She dances around. "))},
    )
    write(folder / "val_1.json", {"v_uqiMw7tQ1Cc": entry((0, 4.15, "A weight lifting tutorial is given."))})
    write(folder / "val_2.json", {"v_uqiMw7tQ1Cc": entry((0.1, 4, "Two men lift weights."))})
    features(folder / "features", ["v_QOlSCBRmfWY", "uqiMw7tQ1Cc"])
    return folder


def didemo(folder: Path, clip: bytes) -> Path:
    def entry(video, description, segments=6):
        return {
            "annotation_id": 1,
            "description": description,
            "video": video,
            "times": [[0, 0], [0, 1]],
            "num_segments": segments,
            "dl_link": "",
            "reference_description": "",
        }

    cat, dog = "54322086@N00_2408598493_274c77d26a.avi", "12090392@N02_13482799053_87ef417396.mov"
    write(
        folder / "train_data.json",
        [
            entry(cat, "a cat jumps "),
            entry(dog, "a dog runs", 5),
            entry(cat, "it sleeps"),
            entry("not_listed.mov", "nothing"),
        ],
    )
    write(folder / "train_list.txt", f"{cat}\n{dog}\n")
    write(folder / "val_data.json", [entry(dog, "the dog")])
    write(folder / "test_data.json", [entry(cat, "the cat")])
    (folder / "videos").mkdir()
    (folder / "videos" / f"{cat}.mp4").write_bytes(clip)  # converted, the name kept
    (folder / "videos" / Path(dog).with_suffix(".mp4")).write_bytes(clip)  # converted, the suffix changed
    return folder


def coin(folder: Path) -> Path:
    def entry(subset, task, *steps):
        return {
            "duration": 39.0,
            "class": task,
            "video_url": "",
            "start": 5.0,
            "end": 35.0,
            "subset": subset,
            "recipe_type": 13,
            "annotation": [
                {"id": str(number), "segment": [start, end], "label": label} for number, start, end, label in steps
            ],
        }

    write(
        folder / "COIN.json",
        {
            "database": {
                "LtRSn-ntcLY": entry(
                    "training",
                    "ChangeCarTire",
                    (260, 10.0, 14.0, "jack up the car"),
                    (259, 6.0, 9.0, "unscrew the screw"),
                ),
                "4MiubN1oQkg": entry("testing", "ArcWeld", (587, 3.0, 20.5, "weld")),
                "cTYg4lDjGgE": entry("testing", "ChangeCarTire", (261, 8.0, 30.0, "remove the tire")),
            }
        },
    )
    features(folder / "features", ["LtRSn-ntcLY", "4MiubN1oQkg", "cTYg4lDjGgE"])
    return folder


def crosstask(folder: Path, videos: int = 33) -> Path:
    names = [f"video-{n:05d}" for n in range(videos)]
    write(
        folder / "crosstask_release/tasks_primary.txt",
        "23521\nMake Jello Shots\nhttps://www.wikihow.com/Make-Jello-Shots\n3\npour water,stir mixture,pour jello\n\n"
        "59684\nBuild Simple Floating Shelves\nhttps://www.wikihow.com/Build\n2\ncut shelve,sand shelve\n\n",
    )
    write(
        folder / "crosstask_release/videos.csv",
        "".join(f"23521,{name},https://youtu.be/{name}\n" for name in names)
        + f"59684,{names[0]},https://youtu.be/{names[0]}\n99999,related,https://youtu.be/related\n",
    )
    write(folder / "crosstask_release/videos_val.csv", f"23521,{names[0]},https://youtu.be/{names[0]}\n")
    for name in names:
        write(folder / f"crosstask_release/annotations/23521_{name}.csv", "1,2.5,6.25\n3,9,12.5\n2,12,14\n")
    write(folder / f"crosstask_release/annotations/59684_{names[0]}.csv", "2,20,30.0\n")
    features(folder / "crosstask_features", names)
    return folder


def mosi(folder: Path) -> Path:
    write(
        folder / "Raw/Labels/OpinionLevelSentiment.csv",
        "9.3, 14.9,03bSnISJMiM,2,-1.6\n1.5,8.0,03bSnISJMiM,1,2.4\n0.2,3.0,c5xsKMxpXnc,1,0.0\n4,9,tmZoasNr4rU,1,3\n",
    )
    for video, said in (
        ("03bSnISJMiM", "1_DELIM_I LOVED IT\n2_DELIM_BUT THE END UMM NO\n"),
        ("c5xsKMxpXnc", "1_DELIM_IT IS A FILM\n"),
        ("tmZoasNr4rU", "1_DELIM_THE BEST\n"),
    ):
        write(folder / f"Raw/Transcript/Segmented/{video}.annotprocessed", said)
    write(
        folder / "cmu_mosi_std_folds.py",
        "'''folds'''\nstandard_train_fold=['03bSnISJMiM']\n\n"
        "standard_valid_fold=['c5xsKMxpXnc']\nstandard_test_fold=['tmZoasNr4rU']\n",
    )
    features(folder / "features", ["03bSnISJMiM", "c5xsKMxpXnc_1", "tmZoasNr4rU"])
    return folder
