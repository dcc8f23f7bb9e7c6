"""What the ablations of UniVL show, question by question, by the one rule for verdicts.

A question is what a section of lesson 04 asks, or of its appendix (notebooks/a1_univl_studies.ipynb). Its comparisons
are made in all scores, and `verdicts` corrects for their number. All of it is one rendered world and one test set,
scored after training with several seeds: an effect that is shown here is shown for that world.
"""

from pathlib import Path

import pandas as pd

from minivl.ablations.runner import AblationError, compare
from minivl.ablations.univl import REFERENCE, SCORES
from minivl.metrics.verdicts import LEVEL, NOTHING, holm, readable, verdicts

# Question -> pairs of cells; the second is taken from the first.
QUESTIONS = {
    "pretraining": [(REFERENCE, "no pretraining")],
    "objectives": [
        ("without Joint", "one stage"),
        ("without CMLM", REFERENCE),
        ("without CMFM", REFERENCE),
        ("without Align", REFERENCE),
        ("without Decoder", REFERENCE),
    ],
    "StagedP": [(REFERENCE, "one stage")],
    "EnhancedV": [("StagedP + EnhancedV", REFERENCE), ("StagedP + EnhancedV apart", "StagedP + EnhancedV")],
    "aligned speech": [
        ("aligned, StagedP + EnhancedV", "aligned, StagedP"),
        ("aligned, StagedP + EnhancedV apart", "aligned, StagedP"),
        ("aligned, StagedP", REFERENCE),
    ],
    "longer pretraining": [("long, StagedP", REFERENCE), ("long, StagedP", "long, one stage")],
    "longer pretraining, part by part": [
        ("long, without CMLM", "long, StagedP"),
        ("long, without CMFM", "long, StagedP"),
        ("long, without Align", "long, StagedP"),
        ("long, StagedP + EnhancedV", "long, StagedP"),
    ],
    "negatives": [("local negatives", REFERENCE)],
    "weight of Joint": [("Joint x 10", REFERENCE)],
}


def read_results(folder: Path) -> pd.DataFrame:
    """All runs of both ablations, one row each."""
    return pd.concat([pd.read_csv(Path(folder) / name) for name in ("univl_ablation.csv", "univl_regimes.csv")])


def judge(results: pd.DataFrame) -> pd.DataFrame:
    """The verdict on every comparison, from the rows of `univl_ablation.csv` and `univl_regimes.csv`.

    Columns: "comparison" (A minus B, SCORE), "question", "a", "b", "score", those of `verdicts`, and "Holm p, all":
    p corrected for the comparisons of all questions together. Raises AblationError for cells that are not there.
    """
    tables = []
    for question, pairs in QUESTIONS.items():
        asked = [(a, b, score) for a, b in pairs for score in SCORES]
        table = verdicts({f"{a} minus {b}, {score}": compare(results, a, b, score) for a, b, score in asked})
        table.insert(1, "question", question)
        for place, name in enumerate(("a", "b", "score")):
            table.insert(2 + place, name, [names[place] for names in asked])
        tables.append(table)
    judged = pd.concat(tables, ignore_index=True)
    judged.insert(judged.columns.get_loc("Holm p") + 1, "Holm p, all", holm(judged["p"]))
    return judged


def asked(judged: pd.DataFrame, question: str, *pair: str) -> pd.DataFrame:
    """The answer to a question as it is shown, a row per score; of one pair of cells, if the question has several."""
    table = judged[judged["question"] == question]
    if pair:
        table = table[(table["a"] == pair[0]) & (table["b"] == pair[1])]
    if table.empty:
        raise AblationError(f"no comparison {pair} for {question!r}; there are {QUESTIONS}")
    shown = readable(table)
    return shown.set_axis(table["score"]) if pair else shown


def summary(judged: pd.DataFrame) -> pd.DataFrame:
    """By question: how many comparisons, how many intervals exclude 0, and how many are left after correction."""
    excludes = (judged["low"] > 0) | (judged["high"] < 0)
    return (
        judged.assign(excludes=excludes, shown=judged["verdict"] != NOTHING, all=judged["Holm p, all"] < LEVEL)
        .groupby("question", sort=False)[["score", "excludes", "shown", "all"]]
        .agg({"score": "size", "excludes": "sum", "shown": "sum", "all": "sum"})
        .set_axis(["comparisons", "intervals without 0", "shown", "shown, corrected for all"], axis=1)
    )
