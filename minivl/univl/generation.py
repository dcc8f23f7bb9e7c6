"""Beam search: the most probable captions, several at a time, for many clips at once."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from minivl.config import ConfigError, UniVLConfig
from minivl.hub.checkpoints import finite

if TYPE_CHECKING:
    from minivl.univl.decoder import Decoder

NOTHING = -1  # in `Captions.tokens`, after a caption's last token


@dataclass
class Captions:
    """Captions that beam search found for N clips, R each, best first."""

    tokens: torch.Tensor  # (N, R, L) int64, without [CLS]; -1 after the last token
    scores: torch.Tensor  # (N, R) sum of log-probabilities (with a length penalty: divided by length ** penalty)

    def best(self, eos_token_id: int, pad_token_id: int) -> list[list[int]]:
        """The best caption of each clip, cut at the first [SEP], then at the first [PAD], as the release cuts them."""
        found = []
        for row in self.tokens[:, 0].tolist():
            row = [token for token in row if token != NOTHING]
            for stop in (eos_token_id, pad_token_id):
                row = row[: row.index(stop)] if stop in row else row
            found.append(row)
        return found


@torch.inference_mode()
def beam_search(
    decoder: "Decoder",
    cross: Tensor,
    cross_mask: Tensor,
    tables: tuple[Tensor, Tensor],
    config: UniVLConfig,
    num_beams: int = 5,
    max_length: int = 20,
    stopping: str = "finished",
    num_return: int | None = None,
    length_penalty: float = 0.0,
) -> Captions:
    """Captions of N clips, given the cross encoder's output (N, K, D) and its mask (N, K).

    Each step keeps the `num_beams` continuations with the highest sum of log-probabilities. One beam is greedy search.

    stopping        "finished": a caption that has its [SEP] stays as it is and competes with the others; the search
                    of a clip ends when its `num_return` best are finished. [PAD] and [CLS] are never written.
                    "release": as the released code does it. A finished caption goes on growing, any token may come,
                    and the search of a clip ends when the newest token of its best caption is [SEP].
    length_penalty  with "finished", captions are ranked by score / length ** length_penalty at the end; 0 leaves the
                    sum, which favours short captions. Else a search ends when all its beams are finished, as the
                    best one may change its place.

    Raises ConfigError for another way of stopping, or settings that make no sense.
    """
    if stopping not in ("finished", "release"):
        raise ConfigError(f"stopping must be 'finished' or 'release', not {stopping!r}")
    release = stopping == "release"
    num_return = num_beams if num_return is None else num_return
    words = config.vocab_size - (0 if release else 2)  # that a caption can begin with
    if not 1 <= num_return <= num_beams <= words or max_length < 1:
        raise ConfigError(
            f"beam search needs 1 <= num_return <= num_beams <= {words} words and max_length >= 1, got "
            f"{num_return}, {num_beams} and {max_length}"
        )
    if release and length_penalty:
        raise ConfigError("the release has no length penalty: use it with stopping='finished'")
    needed = num_beams if length_penalty else num_return
    search = _Search(decoder, cross, cross_mask, tables, config, num_beams, release, needed)
    search.run(min(max_length, config.text_positions))
    return search.captions(num_return, length_penalty)


def allowed(gains: Tensor, finished: Tensor, pad: int, bos: int) -> Tensor:
    """Log-probabilities of next words (N, B, V) under the rules of stopping="finished"; finished (N, B).

    [PAD] and [CLS] are never written. A finished caption has one continuation: nothing, which [PAD] stands for.
    """
    gains = gains.index_fill(-1, torch.tensor([pad, bos], device=gains.device), -torch.inf)
    gains[finished] = -torch.inf
    gains[..., pad].masked_fill_(finished, 0.0)
    return gains


def best_continuations(scores: Tensor, gains: Tensor, beams: int) -> tuple[Tensor, Tensor, Tensor]:
    """The best of all continuations of the captions of each clip: scores (N, B), gains (N, B, V).

    Returns their scores, best first, the captions that they continue, and their new words, (N, beams) each.
    """
    scores, best = (scores[..., None] + gains).flatten(1).topk(beams)  # (N, beams) of (N, B*V)
    return scores, best // gains.shape[-1], best % gains.shape[-1]


class _Search:
    """The state of a search: B captions of each clip that is still searched for, V words in the vocabulary."""

    def __init__(
        self,
        decoder: "Decoder",
        cross: Tensor,
        cross_mask: Tensor,
        tables: tuple[Tensor, Tensor],
        config: UniVLConfig,
        beams: int,
        release: bool,
        needed: int,
    ):
        N, device = len(cross), cross.device
        self.decoder, self.tables, self.config, self.beams, self.release = decoder, tables, config, beams, release
        self.needed = needed  # so many finished captions end a search
        self.cache = decoder.start(cross, cross_mask)
        self.clips = torch.arange(N, device=device)  # (N,): which clips
        self.newest = torch.full((N, 1), config.bos_token_id, device=device)  # (N, B); one beam at first
        self.tokens = torch.empty(N, 1, 0, dtype=torch.long, device=device)  # (N, B, length)
        self.scores = torch.zeros(N, 1, device=device)  # (N, B)
        self.finished = torch.zeros(N, 1, dtype=torch.bool, device=device)  # (N, B)
        self.results: dict[int, tuple[Tensor, Tensor]] = {}  # clip -> its (B, length) tokens and (B,) scores

    def run(self, steps: int) -> None:
        """Search for captions of at most `steps` words."""
        for _ in range(steps):
            self._step()
            ended = self._ended()
            if ended.any():
                self._set_aside(ended)
            if not len(self.clips):
                return
        self._set_aside(torch.ones_like(self.clips).bool())

    def _step(self):
        """One word more for every caption."""
        logits = finite(self.decoder.step(self.newest, self.cache, *self.tables), "words")  # (N, B, V)
        gains = logits.float().log_softmax(-1)
        if not self.release:
            gains = allowed(gains, self.finished, self.config.pad_token_id, self.config.bos_token_id)
        N, old, _ = gains.shape
        self.scores, parent, word = best_continuations(self.scores, gains, self.beams)  # (N, B) each

        self.cache.reorder((torch.arange(N, device=word.device)[:, None] * old + parent).flatten())
        finished = self.finished.gather(1, parent)
        self.newest = word
        written = word if self.release else word.masked_fill(finished, NOTHING)
        past = self.tokens.gather(1, parent[..., None].expand(-1, -1, self.tokens.shape[-1]))
        self.tokens = torch.cat([past, written[..., None]], dim=-1)  # (N, B, length)
        self.finished = finished | (word == self.config.eos_token_id)

    def _ended(self):
        """Clips (N,) whose best captions will not change any more; the best come first."""
        if self.release:
            return self.newest[:, 0] == self.config.eos_token_id
        return self.finished[:, : self.needed].all(1)  # a sum of log-probabilities never grows

    def _set_aside(self, ended):
        """Keep the captions of the clips that have ended (N,) as results, and go on without these clips."""
        rows = zip(self.clips[ended].tolist(), self.tokens[ended], self.scores[ended], strict=True)
        self.results |= {clip: (tokens, scores) for clip, tokens, scores in rows}
        rest = ~ended
        self.cache.keep(rest)
        self.clips, self.newest, self.tokens, self.scores, self.finished = (
            state[rest] for state in (self.clips, self.newest, self.tokens, self.scores, self.finished)
        )

    def captions(self, count: int, length_penalty: float) -> Captions:
        L = max((tokens.shape[-1] for tokens, _ in self.results.values()), default=0)
        tokens = self.tokens.new_full((len(self.results), self.beams, L), NOTHING)  # (N, B, L)
        scores = self.scores.new_zeros(len(self.results), self.beams)  # (N, B)
        for clip, (written, score) in self.results.items():
            tokens[clip, :, : written.shape[-1]], scores[clip] = written, score
        lengths = (tokens != NOTHING).sum(-1)  # (N, B)
        scores, order = (scores / lengths**length_penalty).sort(dim=1, descending=True, stable=True)
        tokens = tokens.gather(1, order[..., None].expand_as(tokens))
        return Captions(tokens[:, :count], scores[:, :count])
