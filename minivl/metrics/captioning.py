"""Closeness of generated captions to those that people wrote: the metrics of UniVL's tables.

BLEU, ROUGE-L, METEOR and CIDEr come from pycocoevalcap, whose values are those of nlg-eval, the package behind
UniVL's numbers: text is split on white space as it is, so "can't" and "can ' t" differ and "Egg" is not "egg".
"""

import shutil
import warnings

import numpy as np
from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.rouge.rouge import Rouge


def caption_metrics(hypotheses: list[str], references: list[list[str]], meteor: bool = True) -> dict[str, float]:
    """Scores of a whole set of captions.

    hypotheses  N generated captions; an empty one is allowed and matches nothing
    references  for each of them, the captions that people wrote, one or more
    meteor      False saves the seconds that Java needs to load METEOR's word lists

    Returns, in percent except CIDEr, which is given as it is (about 0 to 10):

        BLEU-n   (p_1 ... p_n)^(1/n) * min(1, exp(1 - r/c)); p_k: share of the k-grams of all hypotheses that are in
                 their references; c: words in all hypotheses; r: words in the references of closest length
        ROUGE-L  mean of (1 + b^2) P R / (R + b^2 P), b = 1.2; P and R: longest common subsequence over the length
                 of the hypothesis and of the reference, each for the reference that suits it best
        CIDEr    10 x mean cosine of tf-idf weighted n-grams, n = 1 to 4, times exp(-(length difference)^2 / 72).
                 The weights come from these references: a set of one caption scores 0, sets do not compare
        METEOR   version 1.5, English: also matches stems, synonyms and paraphrases. Left out, with a warning, where
                 Java is missing
        exact    share of hypotheses that equal one of their references

    BLEU adds tiny constants to avoid 0/0, so hypotheses too short for any n-gram get almost 0 and not 0.

    Raises ValueError if the lists don't fit, or for a hypothesis without a reference or an empty reference.
    """
    truths, texts = _checked(hypotheses, references)
    bleu, _ = Bleu(4).compute_score(truths, texts, verbose=0)
    metrics = {f"BLEU-{n}": float(100 * score) for n, score in enumerate(bleu, start=1)}
    metrics |= {name: float(scores.mean()) for name, scores in caption_scores(hypotheses, references).items()}
    score = _meteor(truths, texts) if meteor else None
    return metrics if score is None else metrics | {"METEOR": 100 * score}


def caption_scores(hypotheses: list[str], references: list[list[str]]) -> dict[str, np.ndarray]:
    """The scores of `caption_metrics` that are means over captions, one by one: "ROUGE-L", "CIDEr", "exact", each (N,).

    For paired comparisons of two models on the same clips (`minivl.metrics.bootstrap`).
    """
    truths, texts = _checked(hypotheses, references)
    return {
        "ROUGE-L": 100 * Rouge().compute_score(truths, texts)[1],
        "CIDEr": Cider(n=4, sigma=6.0).compute_score(truths, texts)[1],
        "exact": np.array([100.0 * (texts[i][0] in truths[i]) for i in texts]),
    }


def _checked(hypotheses: list[str], references: list[list[str]]) -> tuple[dict[int, list[str]], dict[int, list[str]]]:
    """Both as pycocoevalcap wants them, {number: list of texts}, or ValueError."""
    if not hypotheses or len(hypotheses) != len(references):
        raise ValueError(
            f"there are {len(hypotheses)} hypotheses and references for {len(references)}: give at least "
            "one hypothesis, and a list of references for each"
        )
    for i, group in enumerate(references):
        if isinstance(group, str):
            raise ValueError(f"references[{i}] is a text: give a list of texts, as a clip may have several captions")
        if not group or not all(text.split() for text in group):
            raise ValueError(
                f"references[{i}] is {list(group)!r}: each hypothesis needs references, and none may be empty"
            )
    return (
        {i: [_spaced(text) for text in group] for i, group in enumerate(references)},
        {i: [_spaced(text)] for i, text in enumerate(hypotheses)},
    )


def _spaced(text: str) -> str:
    """Words with one space between them: ROUGE takes the nothing between two spaces for a word."""
    return " ".join(text.replace("|||", " ").split())  # "|||" and line ends separate texts in METEOR's input


def _meteor(truths: dict[int, list[str]], texts: dict[int, list[str]]) -> float | None:
    """METEOR over all captions, 0 to 1; None, with a warning, if its Java program does not run."""
    if shutil.which("java") is None:
        warnings.warn("METEOR is left out: it needs Java, and there is no `java` on this machine", stacklevel=3)
        return None
    from pycocoevalcap.meteor.meteor import Meteor

    scorer = Meteor()  # starts Java with the jar that pycocoevalcap brings along
    try:
        return scorer.compute_score(truths, texts)[0]
    except (OSError, ValueError) as error:  # Java ended early: its pipe is closed, or an answer is empty
        warnings.warn(f"METEOR is left out: its Java program stopped ({error})", stacklevel=3)
        scorer.lock.release()  # else waiting for it in Meteor.__del__ would never end
        return None
