"""Texts and captions as WordPiece numbers, the way BERT and UniVL read and write them."""

import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch

from minivl.data.atomic import write_bytes
from minivl.data.online import HELP, hub_answers
from minivl.data.trust import UntrustedFile, refuse_code

# By transformers' names; [PAD] first: padding is id 0.
SPECIAL = {
    "pad_token": "[PAD]",
    "unk_token": "[UNK]",
    "cls_token": "[CLS]",
    "sep_token": "[SEP]",
    "mask_token": "[MASK]",
}
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789'-,.!?"


class TokenizerError(ValueError):
    """A tokenizer that cannot be opened or is not of BERT's kind."""


def load_tokenizer(name: Path | str) -> Any:
    """The fast tokenizer in a folder, or the one that Hugging Face's hub has under that name ("bert-base-uncased").

    Raises TokenizerError if there is none, or if it lacks a special token of BERT's.
    """
    online = Path(name).is_dir() or hub_answers()
    from transformers import AutoTokenizer

    try:
        refuse_code(name)
        tokenizer = AutoTokenizer.from_pretrained(str(name), trust_remote_code=False)
    except UntrustedFile as error:
        raise TokenizerError(str(error)) from error
    except Exception as error:  # tokenizers has no kinds of errors, and strangers' settings make it raise any
        if not online and isinstance(error, OSError):
            raise TokenizerError(f"no tokenizer in {name}: {HELP}") from error
        raise TokenizerError(
            f"no tokenizer in {name}: expected a folder with tokenizer.json, or a name that Hugging "
            f"Face's hub knows and a connection to it ({(str(error).splitlines() or [type(error).__name__])[0]:.500})"
        ) from error
    needed = {name: token for name, token in SPECIAL.items() if name != "unk_token"}
    missing = [token for name, token in needed.items() if getattr(tokenizer, f"{name}_id") is None]
    if missing:
        raise TokenizerError(f"the tokenizer of {name} has no {', '.join(missing)}: UniVL needs one of BERT's kind")
    return tokenizer


def train_wordpiece(sentences: Iterable[str], vocabulary: int, folder: Path | str) -> Any:
    """Train a lower-case WordPiece tokenizer of at most `vocabulary` tokens, save it in `folder` and open it.

    Letters, digits, common punctuation and whatever else the sentences are written with are always tokens: any word
    made of them can be written, known or not. The same sentences give the same tokens in the same order.
    """
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    normalizer = normalizers.BertNormalizer(lowercase=True)
    sentences = [normalizer.normalize_str(sentence) for sentence in sentences]
    letters = sorted({*LETTERS, *(letter for sentence in sentences for letter in sentence if not letter.isspace())})
    pieces = [*letters, *(f"##{letter}" for letter in letters)]

    learner = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    learner.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    # Of equally frequent pairs the trainer merges the lowest numbers first, and it numbers pieces in a random order:
    # only what is called special has a number that is known beforehand. The tokenizer then takes over the vocabulary.
    special = [*SPECIAL.values(), *pieces]
    trainer = trainers.WordPieceTrainer(
        vocab_size=vocabulary, min_frequency=2, special_tokens=special, show_progress=False
    )
    learner.train_from_iterator(sentences, trainer)

    tokenizer = Tokenizer(models.WordPiece(learner.get_vocab(), unk_token="[UNK]"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizer, learner.pre_tokenizer
    tokenizer.decoder = decoders.WordPiece()
    _save(PreTrainedTokenizerFast(tokenizer_object=tokenizer, **SPECIAL), Path(folder))
    return load_tokenizer(folder)


def encode_texts(tokenizer: Any, texts: Sequence[str], max_words: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Encode texts for the text encoder: `[CLS] words [SEP]`, then padding. Ids and mask, int64 (N, max_words).

    Longer texts lose their last words. An empty text is `[CLS] [SEP]`.
    Raises ValueError for anything but a list of strings.
    """
    lines = [
        [tokenizer.cls_token_id, *words, tokenizer.sep_token_id] for words in _words(tokenizer, texts, max_words - 2)
    ]
    return _pad(lines, max_words, tokenizer.pad_token_id)


def encode_captions(
    tokenizer: Any, texts: Sequence[str], max_words: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Encode captions for the decoder: what it reads, its mask, and what to write next, int64 (N, max_words) each.

    In: `[CLS] words`; out: `words [SEP]`; then padding. Longer captions lose their last words.
    Raises ValueError for anything but a list of strings.
    """
    lines = _words(tokenizer, texts, max_words - 1)
    read, mask = _pad([[tokenizer.cls_token_id, *words] for words in lines], max_words, tokenizer.pad_token_id)
    written, _ = _pad([[*words, tokenizer.sep_token_id] for words in lines], max_words, tokenizer.pad_token_id)
    return read, mask, written


def decode_tokens(tokenizer: Any, ids: Iterable[int]) -> str:
    """Text of generated or target ids, as the release writes it for scoring.

    Cut at the first [SEP], then at the first [PAD]; pieces of a word are joined; punctuation stays apart ("can ' t").
    """
    tokens = tokenizer.convert_ids_to_tokens([int(number) for number in ids])
    for end in (tokenizer.sep_token, tokenizer.pad_token):
        if end in tokens:
            tokens = tokens[: tokens.index(end)]
    return " ".join(tokens).replace(" ##", "").strip("#").strip(" ")


def _words(tokenizer, texts: Sequence[str], longest: int) -> list[list[int]]:
    if isinstance(texts, str) or not all(isinstance(text, str) for text in texts):
        raise ValueError(f"texts must be a list of strings, got {texts!r:.80}")
    if longest < 1:
        raise ValueError("max_words must leave room for a word between [CLS] and [SEP]")
    if not len(texts):
        return []
    return [words[:longest] for words in tokenizer(list(texts), add_special_tokens=False, verbose=False)["input_ids"]]


def _pad(lines: list[list[int]], length: int, pad: int) -> tuple[torch.Tensor, torch.Tensor]:
    ids, mask = torch.full((len(lines), length), pad), torch.zeros(len(lines), length, dtype=torch.int64)
    for number, line in enumerate(lines):
        ids[number, : len(line)] = torch.tensor(line)
        mask[number, : len(line)] = 1
    return ids, mask


def _save(tokenizer, folder: Path) -> None:
    """Write the files of a tokenizer into `folder`, each whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as elsewhere:
        tokenizer.save_pretrained(elsewhere)
        for file in sorted(Path(elsewhere).iterdir()):
            write_bytes(folder / file.name, file.read_bytes())
