"""UniVL: one pretrained model for video-language understanding and generation (arXiv 2002.06353)."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from minivl.config import ConfigError, ObjectiveConfig, UniVLConfig
from minivl.hub.checkpoints import finite
from minivl.train.precision import products
from minivl.univl.cls_only import pooled_pairs, pooled_rows
from minivl.univl.decoder import Decoder
from minivl.univl.encoders import CrossEncoder, VideoEncoder
from minivl.univl.generation import Captions, beam_search
from minivl.univl.layers import PredictionHead, init_weights, used_length
from minivl.univl.pooling import pool_text, pool_video
from minivl.univl.pretraining_batch import active_objectives
from minivl.univl.pretraining_step import encode_batch, joint_loss, pool_clips, pretraining_losses
from minivl.univl.saving import PretrainedMixin

SIDE = 16  # of the blocks of texts x videos that the cross encoder sees together, which bounds its memory


class UniVL(PretrainedMixin):
    """Four modules: text encoder, video encoder, cross encoder and decoder (figure 2 of the paper).

    Sizes: N clips with a text of W tokens and T video features of F numbers each, hidden size D, vocabulary V.
    Masks are 1 for real, 0 for padding; texts are [CLS] words [SEP].

    config       sizes, and which parts exist beyond the two encoders (`parts`)
    objectives   weights of the five objectives, and where to follow the paper or the release

    Raises ConfigError for parts that do not exist or need another one.
    """

    def __init__(self, config: UniVLConfig | None = None, objectives: ObjectiveConfig | None = None):
        from transformers import BertConfig, BertModel

        super().__init__()
        self.config, self.objectives = config or UniVLConfig(), objectives or ObjectiveConfig()
        config, parts = self.config, set(self.config.parts)
        self.text = BertModel(
            BertConfig(
                vocab_size=config.vocab_size,
                hidden_size=config.hidden_size,
                num_hidden_layers=config.text_layers,
                num_attention_heads=config.num_heads,
                intermediate_size=config.intermediate_size,
                max_position_embeddings=config.text_positions,
                hidden_dropout_prob=config.dropout,
                attention_probs_dropout_prob=config.dropout,
                pad_token_id=None,
            ),
            add_pooling_layer=False,
        )
        self.video = VideoEncoder(config)
        if "cross" in parts:
            self.cross = CrossEncoder(config)
            self.similarity = nn.Linear(config.hidden_size, 1)
        if "decoder" in parts:
            self.decoder = Decoder(config)
        if "heads" in parts:
            self.word_head = PredictionHead(config, config.vocab_size)
            self.frame_head = PredictionHead(config, config.video_dim)
        for name, module in self.named_children():
            if name != "text":  # transformers has started it in the same way
                module.apply(init_weights)

    @classmethod
    def from_reference(
        cls,
        path_or_state_dict: Mapping[str, Tensor] | Path | str,
        num_heads: int = 12,
        bos_token_id: int = 101,
        eos_token_id: int = 102,
        pad_token_id: int = 0,
    ) -> Self:
        """A model with the weights, and the behaviour, of the released code: see `minivl.univl.reference`."""
        from minivl.univl.reference import build_from_reference

        return build_from_reference(cls, path_or_state_dict, num_heads, bos_token_id, eos_token_id, pad_token_id)

    # The four modules

    def encode_text(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Token ids and mask (N, W) -> (N, W, D).

        Raises ValueError for texts longer than the table of positions, and for ids that are not in the vocabulary.
        """
        if input_ids.shape[1] > self.config.text_positions:
            raise ValueError(
                f"texts of {input_ids.shape[1]} tokens, but this model reads at most "
                f"{self.config.text_positions}: lower max_words"
            )
        if input_ids.is_cpu and input_ids.numel() and int(input_ids.max()) >= self.config.vocab_size:
            raise ValueError(
                f"token id {int(input_ids.max())}, but this model has {self.config.vocab_size} words: "
                "use the tokenizer that it was trained with"
            )
        text = self.text(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        return text if self.training else finite(text, "encoded texts")

    def encode_video(self, video: Tensor, video_mask: Tensor) -> Tensor:
        """Raw features (N, T, F) and mask (N, T) -> (N, T, D); they are normalised inside."""
        encoded = self.video(video, video_mask)
        return encoded if self.training else finite(encoded, "encoded videos")

    def cross_encode(
        self, text: Tensor, attention_mask: Tensor, video: Tensor, video_mask: Tensor, frame_position: int | None = None
    ) -> tuple[Tensor, Tensor]:
        """Encoded text (N, W, D) and video (N, T, D) of the same clips -> (N, W+T, D), pooled (N, D).

        frame_position   position of the first frame; W by default. Who cuts padding off a text gives the uncut W.
        """
        self.require("cross")
        position = text.shape[1] if frame_position is None else frame_position
        return self.cross(text, attention_mask, video, video_mask, position)

    def decode(self, caption_ids: Tensor, caption_mask: Tensor, cross: Tensor, cross_mask: Tensor) -> Tensor:
        """Captions so far (N, W) and the cross encoder's output (N, K, D) -> logits of each next word (N, W, V)."""
        self.require("decoder")
        return self.decoder(caption_ids, caption_mask, cross, cross_mask, *self.tables())

    # Similarity of texts and videos

    def joint_similarity(
        self, text: Tensor, attention_mask: Tensor, video: Tensor, video_mask: Tensor, normalize: bool = False
    ) -> Tensor:
        """Encoded texts (A, W, D) and videos (B, T, D) -> (A, B): dot products of their means (FT-Joint).

        The mean of a text leaves out [CLS] and keeps [SEP]. `normalize` makes the products cosines.
        """
        texts, videos = pool_text(text, attention_mask), pool_video(video, video_mask)  # (A, D), (B, D)
        if normalize:
            texts, videos = F.normalize(texts, dim=-1), F.normalize(videos, dim=-1)
        return products(texts, videos)

    def align_similarity(
        self, text: Tensor, attention_mask: Tensor, video: Tensor, video_mask: Tensor, frame_position: int | None = None
    ) -> Tensor:
        """Encoded texts (A, W, D) and videos (B, T, D) -> (A, B): each pair through the cross encoder (FT-Align)."""
        self.require("cross")
        position = text.shape[1] if frame_position is None else frame_position
        texts = zip(text.split(SIDE), attention_mask.split(SIDE), strict=True)
        videos = list(zip(video.split(SIDE), video_mask.split(SIDE), strict=True))
        rows = [
            torch.cat([pooled_pairs(self.cross, *some_texts, *some_videos, position) for some_videos in videos], dim=1)
            for some_texts in texts
        ]
        return self.similarity(torch.cat(rows)).squeeze(-1)  # (A, B)

    def align_pairs(
        self, text: Tensor, attention_mask: Tensor, video: Tensor, video_mask: Tensor, frame_position: int | None = None
    ) -> Tensor:
        """Encoded texts (N, W, D) and videos (N, T, D) -> (N,): the `align_similarity` of text i with video i.

        For pairs that were chosen, such as the best ones of each text by `joint_similarity`.
        """
        self.require("cross")
        position = text.shape[1] if frame_position is None else frame_position
        pooled = []
        for i in range(0, max(len(text), 1), SIDE**2):
            some = slice(i, i + SIDE**2)
            pooled.append(
                pooled_rows(self.cross, text[some], attention_mask[some], video[some], video_mask[some], position)
            )
        return self.similarity(torch.cat(pooled)).squeeze(-1)  # (N,)

    pool_text, pool_video = staticmethod(pool_text), staticmethod(pool_video)

    # Pretraining

    def forward(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The five objectives: {"joint", "cmlm", "cmfm", "align", "decoder", "total"}, scalars.

        Those of weight 0, and those whose parts this model does not have, are left out. The total is their weighted
        sum. Joint reads the unmasked text and video; all others read the masked ones.

        batch   fields (N, ...), or (videos, n, ...) with n clips of each video, as `minivl.data.narration` makes them

        Raises ConfigError if no objective is left, ValueError if a field is missing.
        """
        return pretraining_losses(self, batch)

    def losses(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The same as `forward`, by the name that the training loop calls."""
        return self(batch)

    def encode(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """All that Joint reads of a batch, for gradient caching: see `minivl.univl.pretraining_step.pool_clips`.

        Raises ConfigError if there are other objectives, which read more than that.
        """
        if others := sorted(set(active_objectives(self)) - {"joint"}):
            raise ConfigError(
                f"gradient caching is for Joint alone, but this model also trains {', '.join(others)}, "
                "which need more than one embedding per text and video. Leave chunk_size out there"
            )
        return pool_clips(encode_batch(self, batch))

    def losses_of(self, embeddings: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """`losses`, given what `encode` made of this process' part of the batch."""
        loss = joint_loss(self.objectives, embeddings)
        return {"joint": loss, "total": self.objectives.joint * loss}

    # Generation

    @torch.inference_mode()
    def generate(
        self, input_ids: Tensor, attention_mask: Tensor, video: Tensor, video_mask: Tensor, **search: Any
    ) -> Captions:
        """Captions of N clips by beam search, best first.

        search   num_beams, max_length, stopping, num_return and length_penalty, see
                 `minivl.univl.generation.beam_search`
        """
        self.require("decoder")
        special = (self.config.pad_token_id, self.config.bos_token_id, self.config.eos_token_id)
        if max(special) >= self.config.vocab_size:
            raise ConfigError(f"captions need the tokens {special}, but this model has {self.config.vocab_size} words")
        was_training = self.training
        self.eval()
        try:
            cross, cross_mask = self._encode_clips(input_ids, attention_mask, video, video_mask)
            return beam_search(self.decoder, cross, cross_mask, self.tables(), self.config, **search)
        finally:
            self.train(was_training)

    def _encode_clips(self, input_ids, attention_mask, video, video_mask):
        """Token ids (N, W) and raw features (N, T, F) -> the cross encoder's output (N, K, D) and its mask (N, K).

        Places that are padding in every clip are cut off.
        """
        W, T = used_length(attention_mask), used_length(video_mask)
        text_mask, video_mask = attention_mask[:, :W], video_mask[:, :T]
        text, video = self.encode_text(input_ids[:, :W], text_mask), self.encode_video(video[:, :T], video_mask)
        cross, _ = self.cross_encode(text, text_mask, video, video_mask, frame_position=input_ids.shape[1])
        return cross, torch.cat([text_mask, video_mask], dim=1)

    def tables(self) -> tuple[Tensor, Tensor]:
        """The word and position embeddings that the decoder shares with the text encoder."""
        embeddings = self.text.embeddings
        return embeddings.word_embeddings.weight, embeddings.position_embeddings.weight

    def transformer_layers(self) -> list[nn.Module]:
        """Layers that are only called as a whole: `minivl.train.engine` can checkpoint, compile and shard them.

        Those of cross encoder and decoder are not: Align and beam search use parts of them.
        """
        return [*self.text.encoder.layer, *self.video.layers]

    def require(self, part: str) -> None:
        """Raise ConfigError if this model lacks a part."""
        if part not in self.config.parts:
            raise ConfigError(f"this UniVL has no {part}: its parts are {list(self.config.parts)}")
