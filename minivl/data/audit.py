"""Audit of a corpus: who and what appears in its texts, by frequency.

A model learns from a corpus what is usual in it. This audit counts, in captions and in speech, words for people,
pronouns, activities and places (`audit_words.toml`), and asks which people and activities are named together more often
than chance would have it.

What it cannot see: who is shown but not named, and whether a description is right; looks, voices and accents; what a
word means ("iron" is a verb and a metal, "the cook" may be anybody); anything that its short English lists leave out;
texts in other languages, which it only hints at. A balanced text can stand beside unbalanced pictures.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from minivl.data.audit_words import WORDS, lookup
from minivl.progress import tqdm

if TYPE_CHECKING:
    from datasets import Dataset

SPOKEN, WRITTEN = ("transcript",), ("caption", "captions", "step_captions", "frame_captions")
ENGLISH = frozenset("the a an and of to in is it on with for that this i you we he she they are was be not".split())
LEAST_WORDS = 5  # below that, a text says nothing about its language
LEAST_CLIPS = 5  # expected by chance, below which a pair of words is not judged


@dataclass(frozen=True)
class Audit:
    """Findings in `clips` rows.

    mentions   one row per category: occurrences, `clips` that mention it, their `share` (percent) and that among
               captions (`written`) and speech (`spoken`), and the most frequent words
    pairs      people x activities, in clips: how many name both, how many would by chance, `pmi` = log2 of the ratio,
               p of Fisher's exact test, and `sure`: p times the number of pairs is below 0.05
    texts      clips without captions, without speech, and texts that are likely not English, with examples
    """

    clips: int
    mentions: pd.DataFrame
    pairs: pd.DataFrame
    texts: dict[str, Any]

    def __str__(self) -> str:
        lines = [
            f"{self.clips} clips; {self.texts['without captions']} without captions, "
            f"{self.texts['without speech']} without speech; likely not English: {self.texts['not English']} of "
            f"{self.texts['texts']} texts {'; '.join(self.texts['examples'])}".rstrip()
        ]
        for group, rows in self.mentions.groupby("group", sort=False):
            lines += ["", group, rows.drop(columns="group").round(1).to_string(index=False)]
        told = self.pairs[self.pairs["sure"]].drop(columns="sure")
        lines += [
            "",
            f"people and activities that are named together more or less often than by chance: {len(told)} "
            f"of {len(self.pairs)} pairs",
            told.round(2).to_string(index=False) if len(told) else "",
        ]
        return "\n".join(lines).rstrip()


def audit(
    rows: "Dataset | list[dict[str, Any]]", words: dict[str, dict[str, str]] = WORDS, progress: bool = True
) -> Audit:
    """Count the words of a corpus in minivl's schema (a `datasets.Dataset` or a list of dicts), one row per clip.

    Raises ValueError if there are no rows, or none of the columns that hold text.
    """
    columns = getattr(rows, "column_names", None) or list(dict.fromkeys(name for row in rows for name in row))
    kept = [name for name in (*WRITTEN, *SPOKEN) if name in columns]
    if not len(rows) or not kept:
        raise ValueError(
            f"an audit reads {', '.join((*WRITTEN, *SPOKEN))}: these {len(rows)} rows have the columns "
            f"{', '.join(columns)}"
        )
    if hasattr(rows, "select_columns"):
        rows = rows.select_columns(kept)
    entries, counts = lookup(words), _Counts()
    for row in tqdm(rows, desc="audit", unit="clip", disable=not progress):
        counts.add(_texts(row, WRITTEN), _texts(row, SPOKEN), entries)
    return Audit(counts.clips, _mentions(counts, words), _pairs(counts), counts.texts())


def words_of(text: str) -> list[str]:
    """Lower-cased words; an apostrophe ends one ("she's" is "she" and "s")."""
    return re.findall(r"[^\W\d_]+", text.lower())


def language_hint(text: str) -> str | None:
    """Tell why a text is likely not English: its script, or that it has no frequent English word; None if it is."""
    letters = [letter for letter in text if letter.isalpha()]
    scripts = Counter(unicodedata.name(letter, "?").split()[0] for letter in letters)
    if scripts and scripts.most_common(1)[0][0] != "LATIN":
        return scripts.most_common(1)[0][0].lower()
    words = words_of(text)
    return "no English function word" if len(words) >= LEAST_WORDS and not ENGLISH & set(words) else None


class _Counts:
    """Sums over the rows."""

    def __init__(self) -> None:
        self.clips = self.captions = self.speech = self.all_texts = self.foreign = 0
        self.examples: list[str] = []
        self.words: Counter = Counter()  # (group, category, shown word)
        self.any: Counter = Counter()  # clips by (group, category)
        self.written: Counter = Counter()
        self.spoken: Counter = Counter()
        self.people: Counter = Counter()  # clips by category
        self.activities: Counter = Counter()  # clips by shown word
        self.both: Counter = Counter()  # clips by (category of people, shown activity)

    def add(self, written: list[str], spoken: list[str], entries: Mapping[str, Iterable[tuple[str, str, str]]]) -> None:
        self.clips += 1
        self.captions += bool(written)
        self.speech += bool(spoken)
        hits: set[tuple[str, str, str]] = set()  # (group, category, shown word)
        for counter, texts in ((self.written, written), (self.spoken, spoken)):
            found = [hit for text in texts for word in words_of(text) for hit in entries.get(word, ())]
            self.words.update(found)
            counter.update({(group, category) for group, category, _ in found})
            hits.update(found)
            self._languages(texts)
        self.any.update({(group, category) for group, category, _ in hits})
        people = {category for group, category, _ in hits if group == "people"}
        activities = {word for group, _, word in hits if group == "activities"}
        self.people.update(people)
        self.activities.update(activities)
        self.both.update((person, activity) for person in people for activity in activities)

    def _languages(self, texts):
        for text in texts:
            hint = language_hint(text)
            self.all_texts += 1
            self.foreign += hint is not None
            if hint and len(self.examples) < 3:
                self.examples.append(f"{hint}: “{text[:60]}”")

    def texts(self) -> dict:
        return {
            "texts": self.all_texts,
            "without captions": self.clips - self.captions,
            "without speech": self.clips - self.speech,
            "not English": self.foreign,
            "examples": self.examples,
        }


def _texts(row, columns) -> list[str]:
    """All texts of some columns that are not empty."""
    found = []
    for name in columns:
        value = row.get(name) or []
        parts = [value] if isinstance(value, str) else value
        found += [part["text"] if isinstance(part, dict) else part for part in parts]
    return [text for text in found if text and text.strip()]


def _mentions(counts: _Counts, words) -> pd.DataFrame:
    def share(clips: int, of: int) -> float:
        return 100 * clips / of if of else float("nan")

    rows = []
    for group, categories in words.items():
        for category in categories:
            key = group, category
            used = Counter({shown: n for (*where, shown), n in counts.words.items() if tuple(where) == key})
            rows.append(
                {
                    "group": group,
                    "category": category,
                    "occurrences": used.total(),
                    "clips": counts.any[key],
                    "share": share(counts.any[key], counts.clips),
                    "written": share(counts.written[key], counts.captions),
                    "spoken": share(counts.spoken[key], counts.speech),
                    "words": ", ".join(f"{word} {n}" for word, n in used.most_common(5)),
                }
            )
    return pd.DataFrame(rows)


def _pairs(counts: _Counts) -> pd.DataFrame:
    """All pairs of which chance would give enough clips, and which are not in every clip, the surest first."""
    import numpy as np
    from scipy.stats import fisher_exact

    rows = []
    for person, a in counts.people.items():
        for activity, b in counts.activities.items():
            both, expected = counts.both[person, activity], a * b / counts.clips
            if expected >= LEAST_CLIPS and max(a, b) < counts.clips:
                table = [[both, a - both], [b - both, counts.clips - a - b + both]]
                rows.append(
                    {
                        "people": person,
                        "activity": activity,
                        "clips": both,
                        "by chance": expected,
                        "pmi": float(np.log2(both / expected)) if both else float("-inf"),
                        "p": float(fisher_exact(table).pvalue),
                    }
                )
    pairs = pd.DataFrame(rows, columns=["people", "activity", "clips", "by chance", "pmi", "p"])
    return pairs.assign(sure=pairs["p"] * len(pairs) < 0.05).sort_values("p", ignore_index=True)
