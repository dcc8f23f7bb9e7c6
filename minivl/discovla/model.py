"""DiscoVLA: CLIP adapted to search videos, with half a million trained parameters (arXiv 2506.08887)."""

import copy
import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from minivl.clip import ModelError
from minivl.clip.contrastive import symmetric_contrastive
from minivl.clip.dual import dual_encoder, embedding_width, text_part
from minivl.config import ClipConfig, ConfigError, DiscoVLAConfig, InputConfig
from minivl.discovla.aligndistill import alignment_distillation
from minivl.discovla.backbone import require_possible, unlike_openai_text, unlike_openai_vision
from minivl.discovla.beyond.temporal import TemporalEmbedding
from minivl.discovla.checks import require_finite, require_frame_captions, require_valid
from minivl.discovla.ivfusion import adapt_tower
from minivl.discovla.other_towers import Seen, adapt_other_tower
from minivl.discovla.pimgalign import image_level_similarity
from minivl.discovla.text import encode_text
from minivl.discovla.vision import encode_frames
from minivl.hub.checkpoints import finite, load_weights
from minivl.hub.folders import CONFIG, WEIGHTS, PushToHubMixin, find, model_card, read_configs, write_folder
from minivl.train.distributed import gather_with_gradient
from minivl.train.precision import products


class DiscoVLA(PushToHubMixin, nn.Module):
    """A frozen CLIP with LoRA in every block and IVFusion in the last blocks of both towers.

    Towers of other designs than OpenAI's (SigLIP, EVA, transformers' CLIP, ...) are adapted as far as they allow, see
    `minivl.discovla.backbone.abilities`.

    Sizes: B videos of F frames, one caption of L tokens per video and, in training, one caption per
    frame; embeddings have D numbers. Masks are 1 for real, 0 for padding.

    clip_model   a dual encoder of open_clip or transformers; it is copied and stays as it is
    config       rank, fusion layers, losses: by default the paper's for MSR-VTT, as released

    Raises UnsupportedBackbone for towers that do not allow what the config asks for, and ConfigError for more fusion
    layers than blocks.
    """

    clip: Any  # open_clip.CLIP or one of its relatives, whose parts have no types

    def __init__(self, clip_model: nn.Module, config: DiscoVLAConfig | None = None):
        super().__init__()
        self.config = config or DiscoVLAConfig()
        require_possible(clip_model, self.config)
        self.backbone: ClipConfig | None = None  # which CLIP by name, if that is known: saving needs it
        self.clip = copy.deepcopy(clip_model).requires_grad_(False)  # the logit scale is frozen, too
        rank, strategy = self.config.lora_rank, self.config.strategy
        self.image_size, places = dual_encoder(self.clip).image_size, self.config.temporal
        self.temporal = TemporalEmbedding(places, embedding_width(self.clip)) if places else None
        # Towers of OpenAI's design are run here part by part; of others, `Seen` tells fusion about a batch.
        self.own_vision, self.own_text = not unlike_openai_vision(clip_model), not unlike_openai_text(clip_model)
        fusion_layers, self.seen = self.config.vision_fusion_layers, Seen()
        if self.own_vision:
            adapt_tower(self.clip.visual.transformer, rank, fusion_layers, strategy)
        else:
            self.seen = adapt_other_tower(dual_encoder(self.clip).vision, rank, fusion_layers, strategy)
        if self.own_text:
            adapt_tower(text_part(self.clip).transformer, rank, self.config.text_fusion_layers, strategy)
        else:
            adapt_other_tower(dual_encoder(self.clip).text, rank, 0, strategy)
        self.to(self.clip.logit_scale.device)

    @classmethod
    def from_open_clip(
        cls, name: str, pretrained: str | None = None, config: DiscoVLAConfig | None = None
    ) -> "DiscoVLA":
        """Adapt a CLIP that `minivl.clip.load_clip` knows by name (and tag or file of its weights)."""
        from minivl.clip import load_clip

        model = cls(load_clip(name, pretrained).model, config)
        model.backbone = ClipConfig(str(name), pretrained and str(pretrained))
        return model

    @classmethod
    def from_reference(
        cls,
        path_or_state_dict: Path | str | Mapping[str, Tensor],
        vision_fusion_layers: int = 4,
        text_fusion_layers: int = 2,
    ) -> "DiscoVLA":
        """A model with the weights of the released code: see `minivl.discovla.reference`."""
        from minivl.discovla.reference import build_from_reference

        return build_from_reference(cls, path_or_state_dict, vision_fusion_layers, text_fusion_layers)

    def encode_video(self, frames: Tensor, frame_mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Frames (B, F, 3, H, W), normalised as CLIP expects -> video (B, D) and frame features (B, F, D).

        The video feature is the mean of the L2-normalised features g_f of its valid frames,

            v = sum_f m_f g_f / |g_f|  /  sum_f m_f

        and is not normalised again. As in the released code the mask acts on this mean only: padded
        frames are still attended to, unless the config has `mask_padding`. With `temporal` places the
        mean is over what `TemporalEmbedding` makes of the normalised features.

        Raises ValueError for frames of the wrong shape and for videos without a valid frame.
        """
        if frames.ndim != 5 or frames.shape[2:] != (3, *self.image_size):
            raise ValueError(
                f"frames must be (B, F, 3, {', '.join(map(str, self.image_size))}), not {tuple(frames.shape)}"
            )
        B, F = frames.shape[:2]
        frame_mask = torch.ones(B, F, device=frames.device) if frame_mask is None else frame_mask
        require_valid(frame_mask, (B, F), "video", "frame")

        x = self._encode_frames(frames.flatten(0, 1), F, frame_mask)  # (B*F, D)
        features = x.view(B, F, -1)  # (B, F, D)

        weights = (frame_mask / frame_mask.sum(1, keepdim=True))[..., None]  # (B, F, 1)
        g = normalize(features, dim=-1)  # (B, F, D)
        if self.temporal is not None:
            g = self.temporal(g)  # (B, F, D)
        videos = (weights * g).sum(1)  # (B, D)
        return (videos if self.training else finite(videos, "embeddings of videos")), features

    def _encode_frames(self, frames: Tensor, F: int, frame_mask: Tensor) -> Tensor:
        """Frames (B*F, 3, H, W) -> (B*F, D); those of a video see each other in fusion layers."""
        if not self.own_vision:
            self.seen.frames, self.seen.frame_mask = F, self._video_frames(frame_mask)
            return dual_encoder(self.clip).encode_frames(frames)
        return encode_frames(self.clip.visual, frames, F, self._video_frames(frame_mask))

    def encode_caption(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Captions of whole videos, image-level attention only: ids and mask (B, L) -> (B, D).

        Raises ValueError for captions that are longer than CLIP's context or entirely masked.
        """
        require_valid(mask, ids.shape, "caption", "token")
        captions = self._encode_texts(ids, mask)
        return captions if self.training else finite(captions, "embeddings of captions")

    def encode_frame_captions(self, ids: Tensor, mask: Tensor, frame_mask: Tensor | None = None) -> Tensor:
        """One caption per frame, fused over each video: ids and mask (B, F, L) -> (B, F, D).

        Only training encodes them. frame_mask (B, F) hides the captions of padded frames from the others if the
        config has `mask_padding`. Raises ValueError as `encode_caption`.
        """
        B, F, L = ids.shape
        require_valid(mask, (B, F, L), "frame caption", "token")
        seen = None if frame_mask is None else self._video_frames(frame_mask)  # (B*F,)
        video_tokens = None if seen is None else seen[:, None].expand(-1, L)  # (B*F, L)
        features = self._encode_texts(ids.flatten(0, 1), mask.flatten(0, 1), F, video_tokens)  # (B*F, D)
        return features.view(B, F, -1)

    def _encode_texts(
        self, ids: Tensor, mask: Tensor, frames: int | None = None, video_tokens: Tensor | None = None
    ) -> Tensor:
        """Texts (S, L) -> (S, D), see `encode_text`; towers of other designs fuse no frame captions."""
        if not self.own_text:
            return dual_encoder(self.clip).encode_texts(ids, mask)
        return encode_text(text_part(self.clip), ids, mask, frames, video_tokens)

    def _video_frames(self, frame_mask: Tensor) -> Tensor | None:
        """Frames that the whole video may attend to: frame_mask (B, F) -> (B*F,); None: all."""
        return frame_mask.bool().flatten() if self.config.mask_padding else None

    @staticmethod
    def similarity(captions: Tensor, videos: Tensor) -> Tensor:
        """Cosines: captions (N_text, D), videos (N_video, D) -> (N_text, N_video)."""
        return products(normalize(captions, dim=-1), normalize(videos, dim=-1))

    def losses(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """The training losses over the global batch of all processes, named scalars.

            video     contrastive loss of the video-level alignment
            image     PImgAlign: contrastive loss of the image-level alignment
            distill   AlignDistill: the image-level alignment teaches the video-level one
            total     video + alpha * image + beta * distill

        A loss of weight 0 is not computed and not in the result.

        batch   video (B, F, 3, H, W), video_mask (B, F), text_ids and text_mask (B, L); where alpha or beta is
                above 0 also f_text_ids and f_text_mask (B, F, L), the frame captions

        Raises ValueError for frame captions that are missing or not one per frame, and for an embedding that is
        not finite.
        """
        return self.losses_of(self.encode(batch))

    def encode(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Embeddings that the losses read of a batch, by name: caption and video (B, D).

        Where alpha or beta is above 0 also frame caption and frame (B, F, D), with `mask_padding` frame mask (B, F).

        Every video is encoded on its own, so `minivl.train.gradient_cache` can encode a large batch in pieces.
        """
        videos, frames = self.encode_video(batch["video"], batch["video_mask"])  # (B, D), (B, F, D)
        embeddings = {"caption": self.encode_caption(batch["text_ids"], batch["text_mask"]), "video": videos}
        if self.config.alpha or self.config.beta:
            require_frame_captions(batch, frames, self.config)
            ids, mask = batch["f_text_ids"], batch["f_text_mask"]  # (B, F, L) each
            captions = self.encode_frame_captions(ids, mask, batch["video_mask"])  # (B, F, D)
            embeddings |= {"frame caption": captions, "frame": frames}
            if self.config.mask_padding:
                embeddings["frame mask"] = batch["video_mask"]
        return embeddings

    def losses_of(self, embeddings: dict[str, Tensor]) -> dict[str, Tensor]:
        """Losses as `losses` gives them, of the embeddings of this process' part of the batch that `encode` made."""
        config, scale = self.config, self.clip.logit_scale.exp()
        S, I = self.alignments(embeddings)  # (B, B) each
        losses = {"video": symmetric_contrastive(S, scale)}
        total = losses["video"]
        if config.alpha and I is not None:
            losses["image"] = symmetric_contrastive(I, scale)
            total = total + config.alpha * losses["image"]
        if config.beta and I is not None:
            losses["distill"] = alignment_distillation(S, I, config.distill_scale or scale, config.distill)
            total = total + config.beta * losses["distill"]
        return {**losses, "total": total}

    def alignments(self, embeddings: dict[str, Tensor]) -> tuple[Tensor, Tensor | None]:
        """Video-level alignment S and image-level alignment I of the global batch, (B, B) each, row i for text i.

        S: cosines of captions and videos. I: how well frame captions fit frames (see `image_level_similarity`); None
        where alpha and beta are 0.

        embeddings   of this process' part of the batch, see `encode`; here those of all processes meet
        """
        everywhere = {name: gather_with_gradient(x) for name, x in embeddings.items()}
        S, I = self.similarity(everywhere["caption"], everywhere["video"]), None  # (B, B)
        if "frame" in everywhere:
            captions, frames, mask = everywhere["frame caption"], everywhere["frame"], everywhere.get("frame mask")
            scale = self.clip.logit_scale.exp() if self.config.pool_scale is None else self.config.pool_scale
            I = image_level_similarity(captions, frames, scale, mask, mask)  # (B, B)
        if not (S if I is None else S + I).isfinite().all():
            require_finite(everywhere)
        return S, I

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Losses, as `losses`."""
        return self.losses(batch)

    def trainable_parameters(self) -> list[nn.Parameter]:
        """LoRA and fusion adapters: 561,200 numbers for CLIP ViT-B with the paper's settings."""
        return [p for p in self.parameters() if p.requires_grad]

    def transformer_layers(self) -> list[nn.Module]:
        """Layers that are only called as a whole: `minivl.train.engine` can checkpoint, compile and shard them."""
        vision = self.clip.visual.transformer.resblocks if self.own_vision else []
        return [*vision, *(text_part(self.clip).transformer.resblocks if self.own_text else [])]

    def save_pretrained(  # type: ignore[override]  # the mixin's `options`, by name
        self, folder: Path | str, card: str = "", inputs: InputConfig | None = None
    ) -> None:
        """Write what was trained, the settings, the name of the CLIP below them, and a model card.

        card     Markdown about data, command, scores and limits: see `minivl.hub.folders.sections`
        inputs   how clips were sampled in training

        Raises ValueError for a model whose CLIP has no name: only `from_open_clip` gives it one.
        """
        if self.backbone is None:
            raise ValueError(
                "cannot save: only LoRA and adapters are saved, and this model does not know the name "
                "of the CLIP they belong to. Build it with DiscoVLA.from_open_clip"
            )
        settings = {"discovla": dataclasses.asdict(self.config), "clip": dataclasses.asdict(self.backbone)}
        settings |= {"inputs": dataclasses.asdict(inputs)} if inputs else {}
        trained = {name: p for name, p in self.named_parameters() if p.requires_grad}
        weights = self.backbone.pretrained or "the ones that come with it"
        text = _CARD.format(name=self.backbone.name, weights=weights, card=card, **settings["discovla"])
        card = model_card(text, library_name="minivl", pipeline_tag="feature-extraction")
        write_folder(Path(folder), settings, {WEIGHTS: trained}, card)

    @classmethod
    def from_pretrained(cls, name: Path | str) -> "DiscoVLA":
        """The model that `save_pretrained` wrote, from a folder or the hub, on a freshly loaded CLIP.

        Raises CheckpointError if there is no such model or its weights do not fit.
        """
        folder = find(name)
        config, backbone = read_configs(folder, discovla=DiscoVLAConfig, clip=ClipConfig)
        try:
            model = cls.from_open_clip(backbone.name, backbone.pretrained, config)
        except (ModelError, ConfigError) as error:
            raise type(error)(f"{folder / CONFIG} asks for what cannot be had: {error}") from error
        frozen = tuple(name for name, p in model.named_parameters() if not p.requires_grad)
        load_weights(model, folder / WEIGHTS, allow_missing=frozen)
        return model


_CARD = """\
# DiscoVLA on CLIP {name}

LoRA and fusion adapters of DiscoVLA (arXiv 2506.08887), trained with minivl for text-video retrieval.
CLIP itself is not included: `{name}`, weights: {weights}.
LoRA rank {lora_rank}; fusion ("{strategy}") in the last {vision_fusion_layers} vision and {text_fusion_layers} text
blocks. Trained with alpha {alpha}, beta {beta}.

    from minivl.discovla import DiscoVLA
    model = DiscoVLA.from_pretrained("this folder")

{card}"""
