"""What `minivl models` lists is what works: small models of random weights, one for each of several families."""

import os

import numpy as np
import open_clip
import pytest
import torch
from open_clip import CLIP, CustomTextCLIP
from open_clip.coca_model import CoCa

from helpers.small_discovla import CONFIG, small_batch
from minivl.clip.architectures import TRIED, architectures
from minivl.clip.dual import dual_encoder
from minivl.config import DiscoVLAConfig
from minivl.data.images import crop_square
from minivl.discovla import DiscoVLA
from minivl.discovla.backbone import UnsupportedBackbone, abilities
from minivl.discovla.peft_format import export_lora, import_lora
from minivl.discovla.zero_shot import ZeroShot
from minivl.tasks.clip.models import find_model, load_text

LORA = DiscoVLAConfig(lora_rank=2, vision_fusion_layers=0, text_fusion_layers=0, alpha=0, beta=0)
FUSION = DiscoVLAConfig(lora_rank=2, vision_fusion_layers=1, text_fusion_layers=0, alpha=0, beta=0)
TEXT = {"context_length": 10, "vocab_size": 50, "width": 32, "heads": 2, "layers": 1}
VIT = {"image_size": 32, "patch_size": 16, "width": 32, "head_width": 16, "layers": 2}
SIZES = {"layers", "width", "head_width", "patch_size", "image_size", "heads", "context_length", "vocab_size"}
FAMILIES = [
    *("RN50", "ViT-B-32", "ViT-H-14-worldwide", "ViT-L-14-CLIPA", "coca_ViT-B-32", "coca_base"),
    *("ViT-B-16-SigLIP", "PE-Core-B-16", "EVA02-B-16", "MobileCLIP2-S0", "convnext_base"),
]
TINY_TIMM = {"embed_dim": 48, "depth": 2, "num_heads": 3}


def shrunk(name):
    """An architecture with few and narrow layers; vision towers of timm that are no plain ViT keep their sizes."""
    config = open_clip.get_model_config(name)
    vision, text = dict(config["vision_cfg"]), {k: v for k, v in config["text_cfg"].items() if k not in SIZES} | TEXT
    if "timm_model_name" not in vision:
        deep = isinstance(vision["layers"], list)
        vision |= VIT | ({"layers": [1, 1, 1, 1], "head_width": 16} if deep else {})
        vision |= {"attn_pooler_heads": 2} if vision.get("attentional_pool") else {}
    kind = CoCa if "multimodal_cfg" in config else CustomTextCLIP if config.get("custom_text") else CLIP
    decoder = {"multimodal_cfg": TEXT} if kind is CoCa else {}
    dim = 48 if vision.get("timm_proj") == "none" else 32
    return kind, {"embed_dim": dim, "vision_cfg": vision, "text_cfg": text, **decoder}


def small(name, monkeypatch):
    import timm

    make = timm.create_model

    def narrow(kind, **options):
        return make(kind, **options, **(TINY_TIMM if kind.startswith(("vit_", "eva")) else {}))

    monkeypatch.setattr("open_clip.timm_model.timm.create_model", narrow)
    kind, config = shrunk(name)
    torch.manual_seed(0)
    return kind(**config).eval()


def batch_for(model):
    batch = small_batch(videos=2, frames=2)
    return batch | {"video": torch.randn(2, 2, 3, *dual_encoder(model).image_size)}


def check(model, listed):
    """Encode with a model, and adapt it as far as is listed; what is not listed is refused."""
    batch = batch_for(model)
    with torch.inference_mode():
        zero_shot = ZeroShot(model)
        videos, _ = zero_shot.encode_video(batch["video"], batch["video_mask"])
        texts = zero_shot.encode_caption(batch["text_ids"], batch["text_mask"])
    assert videos.shape == texts.shape and videos.isfinite().all()
    for reason, config in ((listed.lora, LORA), (listed.fusion, FUSION)):
        if reason:
            with pytest.raises(UnsupportedBackbone):
                DiscoVLA(model, config)
            continue
        adapted = DiscoVLA(model, config)
        with torch.inference_mode():  # fresh LoRA changes nothing
            same, _ = adapted.eval().encode_video(batch["video"], batch["video_mask"])
            assert config is FUSION or torch.allclose(same, videos, atol=1e-5)
        step(adapted, batch)
        with torch.inference_mode():
            alone, _ = adapted.eval().encode_video(batch["video"][:, :1])
            together = adapted.encode_video(batch["video"])[1][:, :1]
            assert torch.allclose(alone, together.mean(1) / together.norm(dim=-1), atol=1e-4) == (config is LORA)


def step(adapted, batch):
    """A training step, after which every trained number was reached."""
    optimizer = torch.optim.SGD(adapted.trainable_parameters(), lr=1.0)
    for _ in range(2):  # at first the zeros of B hide A
        optimizer.zero_grad()
        adapted.train().losses(batch)["total"].backward()
        optimizer.step()
    assert all(p.grad is not None and p.grad.any() for p in adapted.trainable_parameters())


@pytest.mark.parametrize("name", FAMILIES)
def test_what_is_listed_works_and_the_rest_is_refused(name, monkeypatch):
    model = small(name, monkeypatch)
    listed = next(entry for entry in architectures() if entry.name == name)
    found = abilities(model)
    for use, reason in vars(found).items():
        assert bool(getattr(listed, use)) == bool(reason), (use, getattr(listed, use), reason)
    check(model, listed)


def test_families_that_count_as_tried_are_those_of_these_tests():
    assert {entry.family for entry in architectures() if entry.name in FAMILIES} == set(TRIED)


def transformers_model(kind, **changes):
    import transformers

    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    text = sizes | {"vocab_size": 60, "max_position_embeddings": 20, "projection_size": 32, "project_dim": 32}
    text |= {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2}
    vision = sizes | {"image_size": 32, "patch_size": 16, **changes}
    make = getattr(transformers, f"{kind}Model")
    more = {} if kind.startswith("Siglip") else {"projection_dim": 32}
    torch.manual_seed(0)
    return make(make.config_class(text_config=text, vision_config=vision, **more)).eval()


@pytest.mark.parametrize("kind, fuses", [("CLIP", True), ("Siglip", False), ("ChineseCLIP", True), ("AltCLIP", True)])
def test_models_of_transformers(kind, fuses):
    model = transformers_model(kind)
    found = abilities(model)
    assert not found.lora and bool(found.fusion) != fuses and found.text_fusion
    check(model, found)


def test_search_reads_a_folder_of_transformers(tmp_path):
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    transformers_model("Siglip").save_pretrained(tmp_path)
    words = Tokenizer(models.WordLevel({"pot": 3, "<pad>": 1, "<unk>": 4}, unk_token="<unk>"))
    PreTrainedTokenizerFast(tokenizer_object=words, pad_token="<pad>").save_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text('{"size": {"height": 32, "width": 32}}')
    model, tokenizer = load_text(find_model(str(tmp_path)))
    with torch.inference_mode():
        assert model.encode_caption(*tokenizer(["pot"])).shape == (1, 32)


def test_siglip_2_reads_patches():
    check(model := transformers_model("Siglip2", num_patches=4), abilities(model))


def test_lora_goes_to_peft_s_format_and_comes_back(tmp_path):
    model = DiscoVLA.from_open_clip("kitchen", config=LORA).eval()
    for parameter in model.trainable_parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    export_lora(model, tmp_path)
    again = import_lora(tmp_path, "kitchen")
    assert all(
        torch.equal(a, b) for a, b in zip(again.trainable_parameters(), model.trainable_parameters(), strict=True)
    )


@pytest.mark.skipif("MINIVL_TEST_PEFT" not in os.environ, reason="MINIVL_TEST_PEFT=FOLDER where peft is installed")
@pytest.mark.parametrize("library", ["open_clip", "transformers"])
def test_peft_computes_the_same(library, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(os.environ["MINIVL_TEST_PEFT"])
    from peft import PeftModel

    monkeypatch.setattr("timm.create_model", lambda *_, **__: None)
    model = (
        shrunk("ViT-B-32")[0](**shrunk("ViT-B-32")[1]).eval() if library == "open_clip" else transformers_model("CLIP")
    )
    adapted = DiscoVLA(model, LORA).eval()
    for parameter in adapted.trainable_parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    export_lora(adapted, tmp_path)
    frames = torch.randn(1, 3, 3, 32, 32)
    with torch.inference_mode():
        mine, before = adapted.encode_video(frames)[1][0], dual_encoder(model).encode_frames(frames[0])
        theirs = dual_encoder(PeftModel.from_pretrained(model, tmp_path).eval().base_model.model).encode_frames(
            frames[0]
        )
    assert torch.allclose(mine, theirs, atol=1e-5) and not torch.allclose(mine, before, atol=1e-2)


def test_frames_are_squashed_where_the_model_was_trained_so():
    frame = np.zeros((1, 20, 40, 3), np.uint8)
    frame[:, :, 30:] = 255  # the right quarter
    assert crop_square(frame, 20, "squash")[0, 10, -1, 0] == 255
    assert crop_square(frame, 20, "shortest")[0, 10, -1, 0] < 255
    assert (crop_square(frame, 20, "longest")[0, 0] == 0).all()


def test_settings_of_the_paper_are_refused_with_what_to_do():
    with pytest.raises(UnsupportedBackbone, match="vision_fusion_layers to 0"):
        DiscoVLA(transformers_model("Siglip"), CONFIG)
