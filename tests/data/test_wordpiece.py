"""Texts as numbers: the layouts of the release, from a tokenizer that is trained here."""

import pytest

from minivl.data.wordpiece import (
    TokenizerError,
    decode_tokens,
    encode_captions,
    encode_texts,
    load_tokenizer,
    train_wordpiece,
)

SENTENCES = ["someone puts the sliced carrot into the red pot", "now i pour milk into the blue bowl"] * 3


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    return train_wordpiece(SENTENCES, 300, tmp_path_factory.mktemp("words") / "tokenizer")


def numbers(tokenizer, *tokens):
    return tokenizer.convert_tokens_to_ids(list(tokens))


def test_special_tokens_come_first_and_padding_is_0(tokenizer):
    assert numbers(tokenizer, "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]") == [0, 1, 2, 3, 4]
    assert (tokenizer.pad_token_id, tokenizer.cls_token_id, tokenizer.sep_token_id) == (0, 2, 3)
    assert (tokenizer.unk_token_id, tokenizer.mask_token_id) == (1, 4) and len(tokenizer) <= 300


def test_words_are_lower_cased_and_unknown_ones_are_spelled(tokenizer):
    assert tokenizer.tokenize("The CARROT") == ["the", "carrot"]
    pieces = tokenizer.tokenize("zébra42")
    assert len(pieces) > 1 and pieces[0] == "z" and "".join(pieces).replace("##", "") == "zebra42"
    assert tokenizer.tokenize("pot't!") == ["pot", "'", "t", "!"]


def test_transformers_opens_the_folder(tokenizer, tmp_path):
    from transformers import AutoTokenizer

    train_wordpiece(iter(SENTENCES), 300, tmp_path)
    assert AutoTokenizer.from_pretrained(tmp_path).get_vocab() == tokenizer.get_vocab()
    assert {file.name for file in tmp_path.iterdir()} == {"tokenizer.json", "tokenizer_config.json"}
    assert load_tokenizer(tmp_path).is_fast


def test_training_is_repeatable_and_other_letters_are_tokens(tmp_path):
    sentences = ["crème brûlée 日本 §", "crumble §"] * 4
    first, second = (train_wordpiece(sentences, 500, tmp_path / name).get_vocab() for name in "ab")
    assert first == second and {"日", "本", "§", "##§", "crumble", "creme"} <= set(first)


def test_texts_begin_with_cls_and_end_with_sep(tokenizer):
    ids, mask = encode_texts(tokenizer, ["put the carrot", ""], 8)
    put = tokenizer.tokenize("put")
    words = numbers(tokenizer, "[CLS]", *put, "the", "carrot", "[SEP]")
    assert ids.tolist() == [words + [0] * (8 - len(words)), [2, 3, 0, 0, 0, 0, 0, 0]]
    assert mask.tolist() == [[1] * len(words) + [0] * (8 - len(words)), [1, 1, 0, 0, 0, 0, 0, 0]]
    assert str(ids.dtype) == str(mask.dtype) == "torch.int64"


def test_longer_texts_lose_their_last_words_and_not_sep(tokenizer):
    ids, mask = encode_texts(tokenizer, ["the red pot " * 200], 5)
    assert ids.tolist() == [numbers(tokenizer, "[CLS]", "the", "red", "pot", "[SEP]")] and mask.all()
    read, mask, written = encode_captions(tokenizer, ["the red pot " * 200], 5)
    assert read.tolist() == [numbers(tokenizer, "[CLS]", "the", "red", "pot", "the")] and mask.all()
    assert written.tolist() == [numbers(tokenizer, "the", "red", "pot", "the", "[SEP]")]


def test_captions_are_read_from_cls_and_written_to_sep(tokenizer):
    read, mask, written = encode_captions(tokenizer, ["the red pot", ""], 5)
    assert read.tolist() == [numbers(tokenizer, "[CLS]", "the", "red", "pot", "[PAD]"), [2, 0, 0, 0, 0]]
    assert mask.tolist() == [[1, 1, 1, 1, 0], [1, 0, 0, 0, 0]]
    assert written.tolist() == [numbers(tokenizer, "the", "red", "pot", "[SEP]", "[PAD]"), [3, 0, 0, 0, 0]]


def test_no_texts_and_wrong_texts(tokenizer):
    assert [part.shape for part in encode_texts(tokenizer, [], 4)] == [(0, 4), (0, 4)]
    for wrong in ("one string", [None], [3]):
        with pytest.raises(ValueError, match="texts must be a list of strings"):
            encode_texts(tokenizer, wrong, 8)
    with pytest.raises(ValueError, match="max_words must leave room"):
        encode_texts(tokenizer, ["one"], 2)


def test_tokens_are_decoded_as_the_release_does(tokenizer):
    def text(*tokens):
        return decode_tokens(tokenizer, numbers(tokenizer, *tokens))

    assert text("the", "red", "[SEP]", "pot") == "the red"
    assert text("the", "[PAD]", "red", "[SEP]") == "the"
    assert text("the", "[CLS]", "z", "##a", "'", "t") == "the [CLS] za ' t"
    assert text("##a", "the", "red") == "a the red"
    assert text("[SEP]", "the") == "" and decode_tokens(tokenizer, []) == ""
    written = encode_captions(tokenizer, ["someone can't zebra42"], 20)[2][0]
    assert decode_tokens(tokenizer, written) == "someone can ' t zebra42"


def test_what_is_no_tokenizer(tmp_path, monkeypatch):
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(TokenizerError, match="no tokenizer in .*expected a folder with tokenizer.json"):
        load_tokenizer(tmp_path)
    with pytest.raises(TokenizerError, match="no tokenizer in .*nowhere"):
        load_tokenizer(tmp_path / "nowhere")
    PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.BPE()), pad_token="<pad>").save_pretrained(tmp_path)
    with pytest.raises(TokenizerError, match=r"has no \[CLS\], \[SEP\], \[MASK\]: UniVL needs one of BERT's kind"):
        load_tokenizer(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(TokenizerError, match="no tokenizer in"):
        load_tokenizer(tmp_path)
