"""Captions as token ids, against what the released DiscoVLA code makes of them."""

import json

import pytest
import torch

from helpers import RECORDINGS
from minivl.data.text import tokenize

RECORDED = json.loads((RECORDINGS / "discovla_inputs.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def clip_tokenizer():
    from open_clip import SimpleTokenizer

    return SimpleTokenizer()


@pytest.fixture(scope="module")
def padding_tokenizer(tmp_path_factory):
    """A Hugging Face tokenizer that pads with the end token, as those of CLIP do."""
    from open_clip.tokenizer import HFTokenizer
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    words = {"a": 0, "red": 1, "pot": 2, "<start>": 3, "<end>": 4}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="a"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<start> $A <end>", special_tokens=[("<start>", 3), ("<end>", 4)]
    )
    folder = tmp_path_factory.mktemp("tokenizer")
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<start>", eos_token="<end>", pad_token="<end>", unk_token="a"
    ).save_pretrained(folder)
    return HFTokenizer(str(folder))


@pytest.mark.parametrize("item", RECORDED["tokens"], ids=lambda item: item["text"][:20])
def test_the_released_ids_and_mask(clip_tokenizer, item):
    ids, mask = tokenize(clip_tokenizer, [item["text"]], RECORDED["max_words"])
    assert ids.tolist() == [item["ids"]] and mask.tolist() == [item["mask"]]


def test_many_captions_at_once(clip_tokenizer):
    ids, mask = tokenize(clip_tokenizer, [item["text"] for item in RECORDED["tokens"]], RECORDED["max_words"])
    assert ids.dtype == mask.dtype == torch.int64
    assert ids.tolist() == [item["ids"] for item in RECORDED["tokens"]]
    assert mask.tolist() == [item["mask"] for item in RECORDED["tokens"]]


def test_truncation_keeps_the_end_token(clip_tokenizer):
    ids, mask = tokenize(clip_tokenizer, ["one two three four five six"], 5)
    assert ids[0, -1] == clip_tokenizer.eot_token_id and mask.tolist() == [[1] * 5]


def test_padding_of_any_tokenizer_becomes_zero(padding_tokenizer):
    ids, mask = tokenize(padding_tokenizer, ["red pot", "", "a red pot a red pot"], 6)
    assert ids.tolist() == [[3, 1, 2, 4, 0, 0], [3, 4, 0, 0, 0, 0], [3, 0, 1, 2, 0, 4]]
    assert mask.tolist() == [[1, 1, 1, 1, 0, 0], [1, 1, 0, 0, 0, 0], [1, 1, 1, 1, 1, 1]]


def test_no_captions(clip_tokenizer):
    ids, mask = tokenize(clip_tokenizer, [], 7)
    assert ids.shape == mask.shape == (0, 7)


@pytest.mark.parametrize(
    "texts, words, message",
    [("one caption", 8, "list of strings"), (["fine", None], 8, "list of strings"), (["fine"], 2, "room")],
)
def test_what_is_not_captions(clip_tokenizer, texts, words, message):
    with pytest.raises(ValueError, match=message):
        tokenize(clip_tokenizer, texts, words)
