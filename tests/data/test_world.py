"""The kitchen world: what is promised about it holds for what is written."""

import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from helpers.videos import read_frames
from minivl.assets.clip_pretraining import draw_pictures
from minivl.config import BUNDLED, NARRATED_WORLD, ConfigError, WorldConfig, scale
from minivl.data.video import probe
from minivl.data.world import build, language, meals, opinions, render

SMALL = WorldConfig(videos_train=3, videos_val=4, videos_test=8)


def rows(split, count, config=SMALL, make=build.kitchen_clips):
    return [row for row, _ in make(split, count, config)]


@pytest.mark.parametrize("sharing", [False, True])
def test_splits_share_no_content(sharing):
    config = WorldConfig(sharing=sharing)
    drawn = {split: meals.draw_split(split, 200, config) for split in build.SPLITS}
    contents = {split: {meal.content for _, meal in members} for split, members in drawn.items()}
    assert not contents["train"] & contents["test"] and not contents["train"] & contents["val"]
    assert not contents["val"] & contents["test"]
    assert all(meals.split_of(meal, 0, sharing) == split for split, members in drawn.items() for _, meal in members)


def test_groups_share_content_and_differ_in_binding():
    test = meals.draw_split("test", 80, WorldConfig())
    for group in range(20):
        members = [meal for number, meal in test if number == group]
        assert len(members) == 4
        assert len({m.content for m in members}) == 1
        assert len({m.task for m in members}) == 4
    clips = rows("test", 80, replace(SMALL, dial=1.0))
    assert len({clip["caption"].split("prepares", 1)[1] for clip in clips}) == 80, "every caption fits one clip"


def test_three_dishes_can_be_bound_in_36_ways():
    world = WorldConfig(dishes=3, videos_train=2, videos_val=0, videos_test=36)
    drawn = meals.draw_split("test", 36, world)
    assert len(drawn) == len({meal for _, meal in drawn}) == 36 and len({meal.content for _, meal in drawn}) == 1
    row, draw = next(build.kitchen_clips("test", 1, world))
    assert row["caption"].count(" then ") == 2 and len(draw()) > 40
    with pytest.raises(ConfigError, match="at most 3"):
        replace(world, dishes=4)


def test_a_larger_world_begins_with_the_smaller_one_and_the_seed_decides():
    assert rows("test", 8) == rows("test", 40)[:8]
    assert rows("train", 3) != rows("train", 3, replace(SMALL, seed=1))
    (_, a), (_, b) = (next(build.kitchen_clips("train", 1, SMALL)) for _ in range(2))
    assert np.array_equal(a(), b())


def test_steps_and_narration_stay_inside_the_clip():
    for row in rows("train", 60):
        ends = [s["end"] for s in row["steps"]]
        assert all(s["start"] < s["end"] for s in row["steps"])
        assert all(end <= later["start"] + 1e-6 for end, later in zip(ends, row["steps"][1:], strict=False))
        assert all(0 <= t["start"] < t["end"] <= ends[-1] + 0.011 for t in row["transcript"])
        assert sorted(s["label"] for s in row["steps"]) == sorted(row["task_steps"])
        assert len(row["frame_captions"]) == SMALL.frame_captions


def test_an_ingredient_is_sliced_before_it_is_added_and_treated_last():
    for row in rows("train", 60):
        labels = [s["label"] for s in row["steps"]]
        for label in labels:
            if label.startswith("slice "):
                assert labels.index(label) < labels.index(label.replace("slice", "add"))


def test_dial_moves_what_is_said_and_not_how_much():
    literal, whole = ([clip["caption"].split() for clip in rows("train", 200, replace(SMALL, dial=d))] for d in (0, 1))
    dishes, vessels = set(meals.DISH_NAMES.values()), set(meals.CONTAINERS)
    assert not any(dishes & set(words) for words in literal) and all(vessels & set(words) for words in literal)
    assert all(dishes & set(words) for words in whole) and not any(vessels & set(words) for words in whole)
    assert np.mean([len(w) for w in literal]) == pytest.approx(np.mean([len(w) for w in whole]), rel=0.03)


def test_viewers_tell_the_same_dishes_in_other_words_and_the_first_is_the_clips_own():
    told = build.told_by_viewers("train", 40, SMALL, viewers=20)
    assert [own for own, *_ in told] == [clip["caption"] for clip in rows("train", 40)]
    assert told[:5] == build.told_by_viewers("train", 5, SMALL, viewers=20)
    for captions in told:
        assert len(set(captions)) == len(captions) > 5
        dishes = [[{**dish, "vessel": None} for dish in language.told_dishes(caption)] for caption in captions]
        assert all(dish == dishes[0] for dish in dishes)


def test_clauses_tell_that_many_steps():
    for count in (1, 3):
        captions = [clip["caption"] for clip in rows("train", 30, replace(SMALL, clauses=count))]
        assert all(caption.count(" then ") == count - 1 for caption in captions)


def test_novel_ingredients_only_where_asked_for():
    novel = set(meals.NOVEL_INGREDIENTS)
    assert all(novel & set(c["caption"].split()) for c in rows("train", 30, replace(SMALL, novel=1.0)))
    assert not any(novel & set(c["caption"].split()) for c in rows("train", 200))
    sentences = language.pretraining_sentences(2000, np.random.default_rng(0))
    assert not any(novel & set(s.split()) for s in sentences)


def test_a_knob_of_the_pictures_leaves_the_words_alone():
    for change in ({"style": 1.0}, {"clutter": 1.0}):
        assert rows("test", 4, replace(SMALL, **change)) == rows("test", 4)
    (_, plain), (_, styled) = (next(build.kitchen_clips("test", 1, c)) for c in (SMALL, replace(SMALL, style=1.0)))
    assert np.abs(plain().astype(int) - styled().astype(int)).mean() > 10


def test_videos_never_show_a_finished_dish_but_pretraining_does():
    assert any(p.fact[0] == "plate" for p in draw_pictures("train", 50, SMALL))
    assert {"label", "start", "end"} == set(rows("train", 1)[0]["steps"][0])


def test_distinct_pictures_have_distinct_facts():
    facts = [p.fact for p in draw_pictures("test", 300, SMALL, distinct=True)]
    assert len(facts) == len(set(facts)) > 100


def test_written_world_opens_with_datasets_and_matches_its_metadata(tmp_path, monkeypatch):
    import datasets

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    folder = build.write_world(tmp_path / "world", SMALL, progress=False)
    loaded = datasets.load_dataset(str(folder), cache_dir=str(tmp_path / "cache"))
    assert loaded["train"].num_rows == 3 and loaded["test"].num_rows == 8
    first = json.loads((folder / "test" / "metadata.jsonl").read_text().splitlines()[0])
    info = probe(folder / "test" / first["file_name"])
    assert (info.width, info.height, info.fps) == (48, 48, SMALL.fps)
    assert info.duration == pytest.approx(first["steps"][-1]["end"], abs=1 / SMALL.fps)


def test_the_bundled_clips_open_as_they_are(monkeypatch, tmp_path):
    import datasets

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    for name, sizes in {"kitchen": (16, 8, 40), "opinions": (24, 8, 16)}.items():
        loaded = datasets.load_dataset(str(BUNDLED / name), cache_dir=str(tmp_path))
        assert tuple(loaded[split].num_rows for split in ("train", "val", "test")) == sizes
        assert isinstance(loaded["test"].features["video"], datasets.Video)
        first = json.loads((BUNDLED / name / "test" / "metadata.jsonl").read_text().splitlines()[0])
        assert loaded["test"].remove_columns("video")[0]["caption"] == first["caption"]


def test_the_bundled_clips_are_the_first_of_the_small_scale_s_world():
    for split, count in (("train", 16), ("val", 8), ("test", 40)):
        lines = (BUNDLED / "kitchen" / split / "metadata.jsonl").read_text().splitlines()
        assert [json.loads(line) for line in lines] == rows(split, count, scale("small").world)


def test_interrupted_rendering_goes_on_and_gives_the_same(tmp_path):
    whole = build.write_world(tmp_path / "a", SMALL, progress=False)
    part = shutil.copytree(whole, tmp_path / "b")
    again = Path("test", "test-00003.mp4")
    (part / "test" / "metadata.jsonl").unlink()
    (part / again).unlink()
    build.write_world(part, SMALL, progress=False)
    files = {p.relative_to(whole) for p in whole.rglob("*") if p.is_file()}
    assert files == {p.relative_to(part) for p in part.rglob("*") if p.is_file()}
    assert all((whole / f).read_bytes() == (part / f).read_bytes() for f in files - {again})
    # The same pictures; x264 does not always make the same bytes of them.
    first, second = (read_frames(world / again, range(20)).astype(int) for world in (whole, part))
    assert first.shape == second.shape and abs(first - second).mean() < 1


def test_a_world_is_known_by_its_frames(tmp_path):
    folder = build.write_world(tmp_path / "a", SMALL, progress=False)
    digest = hashlib.sha256()
    for _, draw in build.kitchen_clips("test", SMALL.videos_test, SMALL):
        frames = draw()
        digest.update(repr(frames.shape).encode() + frames.tobytes())
    assert build.frames_hash(folder / "test") == digest.hexdigest() != build.frames_hash(folder / "val")
    assert build.frames_hash(BUNDLED / "kitchen" / "test") is None


def test_a_folder_keeps_one_world(tmp_path):
    build.write_world(tmp_path / "w", replace(SMALL, videos_train=0, videos_val=0, videos_test=4), progress=False)
    with pytest.raises(ConfigError, match="other settings"):
        build.write_world(tmp_path / "w", SMALL, progress=False)


def test_one_dish_at_a_time_and_longer_steps():
    for row in rows("train", 20, replace(SMALL, dishes=1, step_seconds=(3.0, 5.0))):
        assert " and " not in row["task"] and 3 <= len(row["steps"]) <= 4
        lengths = [s["end"] - s["start"] for s in row["steps"] if not s["label"].startswith("slice")]
        assert all(2.99 <= length <= 5.01 for length in lengths)


def test_a_split_ends_where_its_different_meals_do():
    for config in (WorldConfig(dishes=1), WorldConfig(dishes=1, novel=0.001)):
        most = meals.different_meals("val", config)
        everything = meals.draw_split("val", most, config)
        assert len({meal.content for _, meal in everything}) == len(everything) == most
        with pytest.raises(ConfigError, match=rf"the val split .* has {most} different meals.* at most {most}, or"):
            meals.draw_split("val", most + 1, config)


def test_where_dishes_may_share_there_is_room_for_thousands_of_test_videos():
    for config in (WorldConfig(seed=seed, sharing=True) for seed in range(3)):
        train, val, test = (meals.different_meals(split, config) for split in build.SPLITS)
        assert train > 7000 and val > 2000 and test > 4900
        assert train + val + test == 180 * 9 * 9  # two ingredients, sliced or not; liquid and treatment of each
    drawn = meals.draw_split("test", 300, config)
    assert len({(meal.task, meal.content) for _, meal in drawn}) == len(drawn)
    groups = {number: [meal for other, meal in drawn if other == number] for number, _ in drawn}
    assert {len(members) for members in groups.values()} == {1, 2, 4}
    assert all(len({meal.content for meal in members}) == 1 for members in groups.values())
    captions = [row["caption"].split("prepares", 1)[1] for row in rows("test", 200, replace(config, dial=1.0))]
    assert len(set(captions)) == len(captions) >= 200, "every caption fits one clip"


def test_splits_say_how_many_different_meals_they_have():
    lines = meals.describe_splits(SMALL).splitlines()
    assert lines[0] == "train: 3 videos of 3 different meals, 3 contents; there are 4,600 meals"
    assert lines[2] == "test: 8 videos of 8 different meals, 2 contents; there are 1,216 meals"
    repeated = meals.describe_splits(WorldConfig(dishes=1, videos_train=300, videos_val=0, videos_test=0))
    assert repeated.startswith("train: 300 videos of 108 different meals")


@pytest.mark.parametrize(
    "make, config, counts, digest",
    [
        (build.kitchen_clips, WorldConfig(), (600, 120, 360), "fbac1843d7c73d47"),
        (build.narrated_clips, NARRATED_WORLD, (1120, 40, 80), "0a91543348da277a"),
    ],
    ids=["kitchen", "narrated"],
)
def test_the_worlds_that_results_were_measured_on_stay_as_they_are(make, config, counts, digest):
    """All texts, and the pictures of one clip of each split."""
    found = hashlib.sha256()
    for split, count in zip(build.SPLITS, counts, strict=True):
        for number, (row, draw) in enumerate(make(split, count, config)):
            found.update(json.dumps(row).encode())
            if number == 0:
                found.update(draw().tobytes())
    assert found.hexdigest()[:16] == digest


NARRATED = replace(SMALL, step_seconds=(3.0, 5.0))


def test_narrated_clips_have_a_clean_sentence_for_every_step():
    for row in rows("train", 40, NARRATED, build.narrated_clips):
        assert row["steps"][-1]["end"] > 20
        assert len(row["step_captions"]) == len(row["steps"])
        for step, caption in zip(row["steps"], row["step_captions"], strict=True):
            verb, _, thing = step["label"].partition(" ")
            assert caption.startswith(f"someone {verb.replace('add', 'put')}s ") and thing in caption
            state = "sliced" if f"slice {thing}" in row["task_steps"] else "whole"
            assert verb != "add" or caption.startswith(f"someone puts the {state} {thing} into the ")
            assert verb in ("slice", "heat", "chill", "stir") or set(caption.split()) & set(meals.COLORS)
        assert set(row) - {"step_captions"} == set(rows("train", 1)[0])
    test = rows("test", 40, NARRATED, build.narrated_clips)
    assert [row["group"] for row in test] == list(range(40)) and len({row["task"] for row in test}) > 35


def test_one_dish_is_seasoned_in_narrated_clips_only():
    spices = set(meals.SPICES)
    for dishes in (1, 2):
        config = replace(NARRATED, dishes=dishes)
        narrated = rows("train", 40, config, build.narrated_clips)
        assert all([s["label"] for s in row["steps"]].count("season") == 1 for row in narrated)
        assert all(sorted(s["label"] for s in row["steps"]) == sorted(row["task_steps"]) for row in narrated)
        named = [caption.split()[-1] for row in narrated for caption in row["step_captions"] if " seasons " in caption]
        assert set(named) == spices
        assert [row["task"] for row in narrated] == [row["task"] for row in rows("train", 40, config)]
    assert not spices & set(json.dumps(rows("train", 40, NARRATED)).replace('"', " ").split())


def test_only_speech_tells_the_spices_apart():
    plain, rng = meals.draw_meal(np.random.default_rng(0)).dishes[0], np.random.default_rng(1)
    stage = render.Stage.draw(rng, clutter=0.0)
    steps = [meals.Step("season", replace(plain, spice=spice)) for spice in meals.SPICES]
    pictures = [render.draw_frame(stage, step, 0.3, np.random.default_rng(0)) for step in steps]
    assert all(np.array_equal(picture, pictures[0]) for picture in pictures)
    assert len({language.step_sentence(step) for step in steps}) == len(steps)
    assert not set(meals.SPICES) & {
        word for step in steps for _ in range(20) for word in language.frame_caption(step, rng).split()
    }
    said = [t["text"] for row in rows("train", 40, NARRATED, build.narrated_clips) for t in row["transcript"]]
    assert any(text.startswith("now i season the") and text.endswith(" salt") for text in said)


def test_sentiment_is_words_plus_face():
    rng = np.random.default_rng(0)
    drawn = [opinions.draw_opinion(rng) for _ in range(300)]
    assert all(-3 <= o.sentiment <= 3 for o in drawn)
    assert all(o.sentiment == pytest.approx(np.clip(o.words + o.face, -3, 3), abs=0.01) for o in drawn)
    words, face, both = (np.array([getattr(o, n) for o in drawn]) for n in ("words", "face", "sentiment"))
    assert np.corrcoef(words, both)[0, 1] < 0.95 and np.corrcoef(face, both)[0, 1] < 0.95, "neither says it all"
    clips = rows("train", 4, make=build.opinion_clips)
    assert all("sentiment" in clip and clip["transcript"][0]["text"] for clip in clips)


def test_the_words_that_clip_was_pretrained_on_are_known():
    rng, drawn = np.random.default_rng(0), [meals.draw_meal(np.random.default_rng(seed)) for seed in range(40)]
    steps = [meals.Step(verb, dish) for meal in drawn for dish in meal.dishes for verb in dish.verbs()]
    told = [language.pretraining_caption(step, rng) for step in (*steps, None)]
    told += [language.pretraining_caption(None, rng, dish) for meal in drawn for dish in meal.dishes]
    words = {word for text in told for word in text.split()}
    assert words <= language.pretraining_words() and len(words) > 70
    assert not language.pretraining_words() & {*meals.NOVEL_INGREDIENTS, *meals.SPICES, "dog"}


@pytest.mark.parametrize("filler, empty", [(0.0, 0.0), (6.0, 1.0)])
def test_filler_says_before_how_many_steps_nothing_happens(filler, empty):
    """The dishes, the order of steps and the caption do not change with it."""
    config = WorldConfig(videos_test=40, filler=filler)
    for row, _ in build.kitchen_clips("test", 40, config):
        ends = [0.0] + [step["end"] for step in row["steps"]]
        before = [step["start"] > end for step, end in zip(row["steps"], ends, strict=False)]
        assert np.mean(before) == empty
    usual = [row["caption"] for row, _ in build.kitchen_clips("test", 40, WorldConfig(videos_test=40))]
    assert [row["caption"] for row, _ in build.kitchen_clips("test", 40, config)] == usual
