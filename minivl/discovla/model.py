"""DiscoVLA: CLIP adapted to search videos, with half a million trained parameters (arXiv 2506.08887)."""

import copy
import dataclasses
import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn.functional import normalize

from minivl.checkpoints import CheckpointError, load_weights
from minivl.config import ClipConfig, DiscoVLAConfig, override
from minivl.discovla.backbone import require_vit_clip
from minivl.discovla.ivfusion import adapt_tower, class_features, token_index
from minivl.losses import gather_with_gradient, symmetric_contrastive


class DiscoVLA(nn.Module):
    """A frozen CLIP with LoRA in every block and IVFusion in the last blocks of both towers.

    Sizes: B videos of F frames, one caption of L tokens per video and, in training, one caption per
    frame; embeddings have D numbers. Masks are 1 for real, 0 for padding.

    clip_model   open_clip's CLIP with a vision transformer; it is copied and stays as it is
    config       rank and number of fusion layers, by default the paper's for MSR-VTT

    Raises UnsupportedBackbone for other architectures and ConfigError for more fusion layers than blocks.
    """

    def __init__(self, clip_model, config: DiscoVLAConfig | None = None):
        super().__init__()
        require_vit_clip(clip_model)
        self.config = config or DiscoVLAConfig()
        self.backbone: ClipConfig | None = None  # which CLIP by name, if that is known: saving needs it
        self.clip = copy.deepcopy(clip_model).requires_grad_(False)  # the logit scale is frozen, too
        adapt_tower(self.clip.visual.transformer, self.config.lora_rank, self.config.vision_fusion_layers)
        adapt_tower(self.clip.transformer, self.config.lora_rank, self.config.text_fusion_layers)
        self.to(self.clip.logit_scale.device)

    @classmethod
    def from_open_clip(cls, name: str, pretrained: str | None = None, config: DiscoVLAConfig | None = None):
        """Adapt a CLIP that `minivl.clip.load_clip` knows by name (and tag or file of its weights)."""
        from minivl.clip import load_clip
        model = cls(load_clip(name, pretrained).model, config)
        model.backbone = ClipConfig(str(name), pretrained and str(pretrained))
        return model

    @classmethod
    def from_reference(cls, path_or_state_dict, vision_fusion_layers: int = 4, text_fusion_layers: int = 2):
        """A model with the weights of the released code: see `minivl.discovla.reference`."""
        from minivl.discovla.reference import build_from_reference
        return build_from_reference(cls, path_or_state_dict, vision_fusion_layers, text_fusion_layers)

    def encode_video(self, frames, frame_mask=None):
        """Frames (B, F, 3, H, W), normalised as CLIP expects -> video (B, D) and frame features (B, F, D).

        The video feature is the mean of the L2-normalised features g_f of its valid frames,

            v = sum_f m_f g_f / |g_f|  /  sum_f m_f

        and is not normalised again. As in the released code the mask acts on this mean only: padded
        frames are still attended to.

        Raises ValueError for frames of the wrong shape and for videos without a valid frame.
        """
        visual = self.clip.visual
        if frames.ndim != 5 or frames.shape[2:] != (3, *visual.image_size):
            raise ValueError(f"frames must be (B, F, 3, {', '.join(map(str, visual.image_size))}), "
                             f"not {tuple(frames.shape)}")
        B, F = frames.shape[:2]
        frame_mask = torch.ones(B, F, device=frames.device) if frame_mask is None else frame_mask
        _require_valid(frame_mask, (B, F), "video", "frame")

        patches = visual.conv1(frames.flatten(0, 1)).flatten(2).transpose(1, 2)     # (B*F, P, W)
        class_token = visual.class_embedding.expand(B * F, 1, -1)                   # (B*F, 1, W)
        x = torch.cat([class_token, patches], dim=1) + visual.positional_embedding  # (B*F, 1+P, W)
        first = token_index(torch.zeros(B * F, dtype=torch.long, device=x.device))
        x = class_features(visual.transformer, visual.ln_pre(x), first, frames=F)   # (B*F, W)
        features = (visual.ln_post(x) @ visual.proj).view(B, F, -1)                 # (B, F, D)

        weights = (frame_mask / frame_mask.sum(1, keepdim=True))[..., None]         # (B, F, 1)
        return (weights * normalize(features, dim=-1)).sum(1), features

    def encode_caption(self, ids, mask):
        """Captions of whole videos, image-level attention only: ids and mask (B, L) -> (B, D).

        Raises ValueError for captions that are longer than CLIP's context or entirely masked.
        """
        _require_valid(mask, ids.shape, "caption", "token")
        return self._encode_text(ids, mask)

    def encode_frame_captions(self, ids, mask):
        """One caption per frame, fused over each video: ids and mask (B, F, L) -> (B, F, D).

        Only training encodes them. Raises ValueError as `encode_caption`.
        """
        B, F, L = ids.shape
        _require_valid(mask, (B, F, L), "frame caption", "token")
        features = self._encode_text(ids.flatten(0, 1), mask.flatten(0, 1), frames=F)    # (B*F, D)
        return features.view(B, F, -1)

    def _encode_text(self, ids, mask, frames=None):
        """ids and mask (S, L) -> (S, D), read out at the end-of-text token, which has the largest id."""
        clip = self.clip
        S, L = ids.shape
        if L > len(clip.positional_embedding):
            raise ValueError(f"captions have {L} tokens, but this CLIP reads at most {len(clip.positional_embedding)}")
        mask, end = mask.bool(), ids.argmax(dim=-1)                                 # (S, L), (S,)

        used = mask.any(dim=0).index_fill(0, end, True)                             # (L,)
        L = int(used.nonzero().max()) + 1                                           # the rest is padding everywhere
        ids, mask = ids[:, :L], mask[:, :L]
        causal = torch.ones(L, L, dtype=torch.bool, device=ids.device).tril()
        x = clip.token_embedding(ids) + clip.positional_embedding[:L]               # (S, L, W)
        x = class_features(clip.transformer, x, token_index(end), frames, causal & mask[:, None])    # (S, W)
        return clip.ln_final(x) @ clip.text_projection

    @staticmethod
    def similarity(captions, videos):
        """Cosines: captions (N_text, D), videos (N_video, D) -> (N_text, N_video)."""
        return normalize(captions, dim=-1) @ normalize(videos, dim=-1).T

    def losses(self, batch):
        """The training losses over the global batch of all processes: {"video", "total"}, scalars.

        "video" is the contrastive loss between captions and videos.

        batch   video (B, F, 3, H, W), video_mask (B, F), text_ids and text_mask (B, L)
        """
        videos, _ = self.encode_video(batch["video"], batch["video_mask"])          # (B, D)
        captions = self.encode_caption(batch["text_ids"], batch["text_mask"])       # (B, D)
        similarity = self.similarity(gather_with_gradient(captions), gather_with_gradient(videos))
        video = symmetric_contrastive(similarity, self.clip.logit_scale.exp())
        return {"video": video, "total": video}

    def forward(self, batch):
        """`losses`, under the name that data-parallel training calls."""
        return self.losses(batch)

    def trainable_parameters(self):
        """LoRA and fusion adapters: 561,200 numbers for CLIP ViT-B with the paper's settings."""
        return [p for p in self.parameters() if p.requires_grad]

    def save_pretrained(self, folder) -> None:
        """Write what was trained, the settings, the name of the CLIP below them, and a model card.

        Raises ValueError for a model whose CLIP has no name: only `from_open_clip` gives it one.
        """
        if self.backbone is None:
            raise ValueError("cannot save: only LoRA and adapters are saved, and this model does not know the name "
                             "of the CLIP they belong to. Build it with DiscoVLA.from_open_clip")
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        settings = {"discovla": dataclasses.asdict(self.config), "clip": dataclasses.asdict(self.backbone)}
        trained = {name: p.detach().contiguous() for name, p in self.named_parameters() if p.requires_grad}
        save_file(trained, folder / "model.safetensors")
        (folder / "config.json").write_text(json.dumps(settings, indent=2) + "\n")
        weights = self.backbone.pretrained or "the ones that come with it"
        card = _CARD.format(name=self.backbone.name, weights=weights, **settings["discovla"])
        (folder / "README.md").write_text(card)

    @classmethod
    def from_pretrained(cls, folder):
        """The model that `save_pretrained` wrote, on a freshly loaded CLIP.

        Raises CheckpointError if the folder holds no such model or its weights do not fit.
        """
        file = Path(folder) / "config.json"
        try:
            settings = json.loads(file.read_text())
            config, clip = settings["discovla"], settings["clip"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise CheckpointError(f"{file} is not the config of a saved DiscoVLA: {error!r}") from error
        model = cls.from_open_clip(**clip, config=override(DiscoVLAConfig(), **config))
        frozen = tuple(name for name, p in model.named_parameters() if not p.requires_grad)
        load_weights(model, Path(folder) / "model.safetensors", allow_missing=frozen)
        return model


def _require_valid(mask, shape, whole, part):
    """Every row of a mask (..., n) must mark something as real."""
    if mask.shape != shape:
        raise ValueError(f"{whole} mask has shape {tuple(mask.shape)}, it must be {tuple(shape)}")
    empty = (mask == 0).all(dim=-1).nonzero().squeeze(-1).tolist()
    if empty:
        raise ValueError(f"{whole} without a valid {part} in rows {empty} of the mask")


_CARD = """\
---
library_name: minivl
pipeline_tag: feature-extraction
---
# DiscoVLA on CLIP {name}

LoRA and fusion adapters of DiscoVLA (arXiv 2506.08887), trained with minivl for text-video retrieval.
CLIP itself is not included: `{name}`, weights: {weights}.
LoRA rank {lora_rank}; fusion in the last {vision_fusion_layers} vision and {text_fusion_layers} text blocks.

    from minivl.discovla import DiscoVLA
    model = DiscoVLA.from_pretrained("this folder")
"""
