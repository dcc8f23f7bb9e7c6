"""Result files of mteb, and what others published for text-video retrieval on the same corpora.

data_samples/results/published_retrieval.csv has the published values, each with where it stands. No value is there that
was not read in that place.
"""

import re
from pathlib import Path

import pandas as pd

from minivl.config import BUNDLED
from minivl.data.trust import read_json


class ResultError(ValueError):
    """A file that is no result of mteb, or a published value that says too little; the message says which."""


PUBLISHED = BUNDLED / "results" / "published_retrieval.csv"
PUBLISHED_COLUMNS = ("model", "setting", "corpus", "metric", "value", "source")
MTEB_CORPORA = {  # beginnings of the names of mteb's tasks
    "MSRVTT": "MSR-VTT",
    "MSVD": "MSVD",
    "DiDeMo": "DiDeMo",
    "ActivityNetCaptions": "ActivityNet",
    "VATEX": "VATEX",
    "YouCook2": "YouCook2",
}
LOCAL = "local-"  # how the revision of a data set begins that is a folder of the user's, see `minivl mteb run --data`
MTEB_RECALL = "recall_at_"  # of a score in its files: the share of queries whose right answer is among the k best


def mteb_scores(folder: Path) -> pd.DataFrame:
    """Recalls in percent in result files of mteb below a folder: model, corpus, task, test set, metric, value.

    Read are the files TASK.json of text-video retrieval, as `mteb.evaluate` writes them into MODEL/REVISION; others are
    passed over. Raises ResultError if there is none, or one that is damaged.
    """
    rows = []
    for file in sorted(Path(folder).rglob("*.json")):
        corpus = next((name for start, name in MTEB_CORPORA.items() if file.name.startswith(start)), None)
        way = next((way for way in ("T2V", "V2T") if way in file.stem), None)
        if corpus is None or way is None:
            continue
        try:
            result = read_json(file, nan=True)  # of its calibration measures some are NaN
            scores = [scores for split in result["scores"].values() for scores in split]
            local = str(result["dataset_revision"]).startswith(LOCAL)
            recalls = {f"R@{k}": 100 * float(scores[0][f"{MTEB_RECALL}{k}"]) for k in (1, 5, 10)}
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise ResultError(f"{file} is no result file of mteb: {error!r}") from error
        model = file.parents[1].name.replace("__", "/")
        of = {"model": model, "corpus": corpus, "task": file.stem, "test set": "a local folder" if local else "mteb's"}
        rows += [{**of, "metric": f"{way.lower()} {name}", "value": value} for name, value in recalls.items()]
    if not rows:
        raise ResultError(f"there is no result of mteb's text-video retrieval below {folder}, such as MSRVTTT2V.json")
    return pd.DataFrame(rows)


def published_retrieval(path: Path = PUBLISHED) -> pd.DataFrame:
    """What others published for text-video retrieval, each value with its source.

    Raises ResultError, which names file and line, for an empty field and for a value that is no percentage.
    """
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    if tuple(table.columns) != PUBLISHED_COLUMNS:
        raise ResultError(f"{path} has the columns {', '.join(table.columns)}: not {', '.join(PUBLISHED_COLUMNS)}")
    for line, row in enumerate(table.to_dict(orient="records"), start=2):
        empty = [name for name in PUBLISHED_COLUMNS if not row[name]]
        if empty or not re.fullmatch(r"\d{1,2}\.\d", row["value"]):
            raise ResultError(f"{path}, line {line}: {', '.join(empty) or 'value'} is missing or no percentage")
    return table.assign(value=table["value"].astype(float))


def beside_published(ours: pd.DataFrame) -> pd.DataFrame:
    """The scores of `mteb_scores`, and below each corpus and metric of them what others published, with its source.

    Test sets of mteb are smaller than those of papers (`minivl.data.corpora.mteb`), which the column `test set` says:
    the numbers show where a model stands, and no difference between them is a result.
    """
    theirs = published_retrieval().assign(**{"test set": "the paper's"})
    ours = ours.assign(setting="", source=ours["task"]).drop(columns="task")
    wanted = ours[["corpus", "metric"]].drop_duplicates()
    both = pd.concat([ours, theirs.merge(wanted, on=["corpus", "metric"])])
    order = ["corpus", "metric", "test set", "model", "setting", "value", "source"]
    return both[order].sort_values(["corpus", "metric", "test set", "value"], ignore_index=True)


def ledger_rows(ours: pd.DataFrame) -> pd.DataFrame:
    """The scores of `mteb_scores` as the ledger's sources name them: a row per cell "MODEL, TASK", a column per metric.

    Saved as `mteb.csv` beside the ledger, `mteb.csv::minivl/mine, MSRVTTT2V::t2v R@1` is a source.
    """
    cells = ours.assign(cell=ours["model"] + ", " + ours["task"])
    return cells.pivot(index="cell", columns="metric", values="value").reset_index().rename_axis(columns=None)
