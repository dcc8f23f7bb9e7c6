"""The audit of a corpus' texts: counts of texts whose frequencies are known, and what is only hinted at."""

import json

import matplotlib
import numpy as np
import pytest
from typer.testing import CliRunner

matplotlib.use("Agg")

from minivl import plots
from minivl.cli import app
from minivl.config import BUNDLED
from minivl.data.audit import audit, language_hint, words_of
from minivl.data.audit_words import WORDS, forms, lookup
from minivl.data.schema import load_split


def clip(caption=None, *said, **columns):
    return {"caption": caption, "transcript": [{"text": text, "start": 0.0, "end": 1.0} for text in said], **columns}


def found(rows, **settings):
    result = audit(rows, progress=False, **settings)
    return result, result.mentions.set_index(["group", "category"])


def test_known_frequencies():
    rows = [
        clip("a woman stirs the soup, and her daughter stirs", "now she is stirring"),
        clip("a man drives to the garage"),
        clip("the dog sleeps", "my grandma said he did"),
        clip(""),
    ]
    result, mentions = found(rows)
    assert result.clips == 4 and result.texts["without captions"] == 1 and result.texts["without speech"] == 2
    women = mentions.loc["people", "women"]
    assert (women["occurrences"], women["clips"], women["share"]) == (3, 2, 50.0)
    assert women["written"] == pytest.approx(100 / 3) and women["spoken"] == 50.0
    assert mentions.loc[("people", "men"), "share"] == 25.0
    assert mentions.loc[("people", "older people"), "clips"] == mentions.loc[("people", "children"), "clips"] == 1
    assert mentions.loc[("pronouns", "she"), "occurrences"] == 2 and mentions.loc[("pronouns", "he"), "clips"] == 1
    cooking = mentions.loc["activities", "cooking"]
    assert cooking["occurrences"] == 3 and cooking["words"] == "stir 3", "all forms of a word are shown as one"
    assert mentions.loc[("places", "other rooms"), "clips"] == 1, "garage"


def test_all_columns_of_text_are_read():
    row = {
        "caption": "a man",
        "captions": ["a man", "a woman"],
        "step_captions": ["a boy"],
        "frame_captions": ["a girl"],
        "transcript": [{"text": "the doctor", "start": 0.0, "end": 1.0}],
    }
    _, mentions = found([row])
    assert mentions.loc[("people", "men"), "occurrences"] == 3 and mentions.loc[("people", "women"), "occurrences"] == 2
    assert mentions.loc[("people", "roles at work"), "spoken"] == 100.0
    with pytest.raises(ValueError, match="these 1 rows have the columns features"):
        audit([{"features": "a.npy"}], progress=False)
    with pytest.raises(ValueError, match="these 0 rows"):
        audit([], progress=False)


def test_words_and_their_forms():
    assert words_of("She's HERE: 3 cups, naïve_") == ["she", "s", "here", "cups", "naïve"]
    assert {"slice", "slices", "sliced", "slicing"} <= forms("slice*") and "stirring" in forms("stir*")
    assert forms("put|puts") == {"put", "puts"} and forms("man") == {"man"}
    entries = lookup(WORDS)
    assert {category for _, category, _ in entries["grandma"]} == {"women", "older people", "roles at home"}
    assert not set("the a and water cook's".split()) & entries.keys()
    for group, categories in WORDS.items():
        for category, text in categories.items():
            assert len(text.split()) == len(set(text.split())), f"{group}, {category}: a word is listed twice"


def together(both, person, activity, neither):
    """Clips that name a woman and stirring so often together, one of them, or none."""
    return (
        [clip("a woman stirs")] * both
        + [clip("a woman sits")] * person
        + [clip("someone stirs")] * activity
        + [clip("someone sits")] * neither
    )


def test_pairs_against_chance():
    rows = together(40, 10, 10, 40)
    pair = audit(rows, progress=False).pairs.set_index(["people", "activity"]).loc["women", "stir"]
    assert pair["clips"] == 40 and pair["by chance"] == 25.0 and pair["sure"]
    assert pair["pmi"] == pytest.approx(np.log2(40 / 25))
    independent = audit(together(25, 25, 25, 25), progress=False).pairs
    assert not independent["sure"].any() and independent["pmi"].tolist() == pytest.approx([0.0] * len(independent))
    never = audit(together(0, 50, 50, 0), progress=False).pairs.set_index("people").loc["women"]
    assert never["pmi"] == -np.inf and never["sure"], "that two are never named together counts as well"
    assert audit(together(4, 1, 1, 4), progress=False).pairs.empty, "too few clips to judge"


def test_many_pairs_by_luck_are_not_believed():
    """Everything is drawn at random: at a level of 5 % for each of hundreds of pairs, dozens would differ."""
    rng = np.random.default_rng(0)
    people = ["woman", "man", "child", "chef", "father"]
    activities = [word.split("|")[0].rstrip("*") for words in WORDS["activities"].values() for word in words.split()]
    rows = [clip(" ".join([*rng.choice(people, 2), *rng.choice(activities[:50], 12)])) for _ in range(300)]
    pairs = audit(rows, progress=False).pairs
    assert len(pairs) > 200 and (pairs["p"] < 0.05).sum() >= 3 and pairs["sure"].sum() <= 1


def test_hints_at_other_languages():
    assert language_hint("a man cuts an onion") is None and language_hint("stir, pour") is None
    assert language_hint("ein Mann schneidet eine Zwiebel klein") == "no English function word"
    assert language_hint("мужчина режет лук") == "cyrillic" and language_hint("男人切洋葱") == "cjk"
    assert language_hint("123 !") is None and language_hint("") is None
    result, _ = found(
        [clip("мужчина режет лук"), clip("a man", "ein Mann schneidet eine Zwiebel klein"), clip("a dog")]
    )
    assert result.texts["not English"] == 2 and result.texts["texts"] == 4
    assert "cyrillic: “мужчина" in str(result) and "2 of 4 texts" in str(result)


def test_what_the_bundled_world_says():
    """Its five cooks are drawn alike; but a sentence of the narrator's small talk is about a grandma."""
    result, mentions = found(load_split(BUNDLED / "narrated", "train"))
    shares = {category: mentions.loc[("people", category), "written"] for category in ("men", "women")}
    assert all(10 < share < 33 for share in shares.values()), "one cook of five, and one of five"
    assert mentions.loc[("people", "women"), "words"].startswith("grandma")
    assert mentions.loc[("people", "men"), "spoken"] == 0 and mentions.loc[("people", "women"), "spoken"] > 10
    assert not result.pairs["sure"].any() and mentions.loc[("pronouns", "she"), "occurrences"] == 0


def test_figures():
    result, _ = found(together(40, 10, 10, 40))
    picture = plots.mention_shares({"some": result.mentions, "other": found([clip("a man")])[0].mentions})
    assert "some, people: women 50 %" in picture.alt and "other, people: men 100 %" in picture.alt
    assert "gym" not in picture.alt and "sports places" not in picture.alt, "what nobody mentions is left out"
    drawn = plots.pair_map(result.pairs, "Pairs.")
    assert "women and stir 40 clips, by chance 25.0" in drawn.alt
    assert "*" in [text.get_text() for text in drawn.figure.axes[0].texts]


def test_command(tmp_path):
    (tmp_path / "train").mkdir()
    rows = [{"video_id": str(number), "caption": "a woman stirs the soup"} for number in range(3)]
    rows = [{**row, "feature_file": "a.npy", "feature_rate": 1.0} for row in rows]
    np.save(tmp_path / "train" / "a.npy", np.zeros((2, 4), dtype=np.float32))
    (tmp_path / "train" / "metadata.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    said = CliRunner().invoke(
        app, ["data", "audit", str(tmp_path), "--subset", "2", "--picture", str(tmp_path / "shares.png")]
    )
    assert said.exit_code == 0, said.output
    assert "2 clips; 0 without captions, 2 without speech" in said.output and "woman 2" in said.output
    assert "not named" in said.output and (tmp_path / "shares.png").is_file()
