"""Build every architecture of open_clip and ask what DiscoVLA can do with it; compare with what `minivl models` lists.

    python benchmarks/architectures.py architectures.csv [NAME ...]

Models are built on torch's meta device, which counts and computes nothing: a forward pass gives shapes. Text towers of
transformers have their sizes on the hub; models with one are built small, with random weights, and computed.
"""

import csv
import logging
import sys
from unittest import mock

import open_clip
import torch

from minivl.clip.architectures import architectures
from minivl.clip.dual import dual_encoder
from minivl.config import DiscoVLAConfig
from minivl.discovla import DiscoVLA
from minivl.discovla.backbone import abilities

LORA = DiscoVLAConfig(vision_fusion_layers=0, text_fusion_layers=0, alpha=0, beta=0)
FUSION = DiscoVLAConfig(vision_fusion_layers=2, text_fusion_layers=0, alpha=0, beta=0)


def small_config(name: str, **_: object) -> object:
    """A small text tower's configuration of the kind that a name on the hub has."""
    import transformers

    kinds = {"xlm-roberta": "XLMRobertaConfig", "roberta": "RobertaConfig", "mt5": "MT5Config", "nllb": "M2M100Config"}
    kind = next(kind for part, kind in kinds.items() if part in name)
    sizes = {"vocab_size": 200, "d_model": 64, "num_layers": 1, "num_heads": 2, "encoder_layers": 1}
    if kind.endswith("RobertaConfig"):
        sizes = {"vocab_size": 200, "hidden_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    return getattr(transformers, kind)(**sizes)


def built(name: str) -> torch.nn.Module:
    config = open_clip.get_model_config(name)
    if "hf_model_name" not in config["text_cfg"]:
        with torch.device("meta"):
            return open_clip.create_model(name, device="meta")
    vision = config["vision_cfg"]
    vision |= {} if "timm_model_name" in vision else {"layers": 2}
    with mock.patch("open_clip.hf_model.AutoConfig.from_pretrained", small_config):
        return open_clip.create_model(name, pretrained_text=False, vision_cfg=vision).eval()


def tried(name: str) -> dict[str, object]:
    """A row of the table: parameters, and for each use "yes", or why not."""
    model = built(name)
    encoder, found = dual_encoder(model), abilities(model)
    device = encoder.logit_scale.device
    pixels = torch.zeros(2, 3, *encoder.image_size, device=device)
    length = open_clip.get_model_config(name)["text_cfg"].get("context_length", 77)
    ids = torch.ones(2, length, dtype=torch.long, device=device)
    row: dict[str, object] = {"name": name}
    if device.type == "meta":
        row["parameters"] = sum(p.numel() for p in model.parameters())
    row |= {use: f"no: {reason}" if reason else "yes" for use, reason in vars(found).items()}
    with torch.no_grad():
        frames, texts = encoder.encode_frames(pixels), encoder.encode_texts(ids, torch.ones_like(ids))
        if not found.lora:
            adapted = DiscoVLA(model, LORA if found.fusion else FUSION)
            videos, _ = adapted.encode_video(pixels[None])
            assert videos.shape == (1, texts.shape[1])
            if device.type != "meta":  # where there are no values, nobody knows where a text ends
                assert adapted.encode_caption(ids, torch.ones_like(ids)).shape == texts.shape
            row["trained"] = sum(p.numel() for p in adapted.trainable_parameters())
    row["zero-shot"] = "yes" if frames.shape[1] == texts.shape[1] else f"no: {frames.shape} {texts.shape}"
    listed = next(a for a in architectures() if a.name == name)
    row["listed alike"] = all(bool(getattr(listed, use)) == bool(reason) for use, reason in vars(found).items())
    return row


def main() -> None:
    logging.disable(logging.WARNING)  # open_clip says of each model that it is random
    out, *names = sys.argv[1:]
    rows = []
    for name in names or open_clip.list_models():
        try:
            rows.append(tried(name))
        except Exception as error:
            rows.append({"name": name, "zero-shot": f"no: {type(error).__name__}: {str(error)[:200]}"})
        print(rows[-1], flush=True)
    fields = ["name", "parameters", "zero-shot", "lora", "fusion", "text_fusion", "trained"]
    with open(out, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [*fields, "listed alike"])
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
