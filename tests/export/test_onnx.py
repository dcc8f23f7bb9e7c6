"""What is exported computes what torch computes."""

import numpy as np
import pytest
import torch

from helpers.small_discovla import VOCABULARY, build, captions
from helpers.univl_processes import C, T, W, lengths_to_mask, small_model
from minivl.config import ConfigError
from minivl.export import export_caption_reader, export_next_word, export_query_encoder

pytest.importorskip("onnx", reason="onnx is of the extra `site`")
ort = pytest.importorskip("onnxruntime", reason="onnxruntime is of the extra `site`")

CLOSE = {"atol": 1e-4, "rtol": 0}


def run(file, **inputs):
    """What an ONNX file computes."""
    session = ort.InferenceSession(file, providers=["CPUExecutionProvider"])
    return session.run(None, {name: tensor.numpy() for name, tensor in inputs.items()})


@pytest.fixture(scope="module")
def univl():
    return small_model().eval()


@pytest.fixture(scope="module")
def clip_of_univl(univl):
    """A transcript of five tokens and a clip of three features, and what the cross encoder makes of them."""
    torch.manual_seed(0)
    ids, mask = torch.randint(10, univl.config.vocab_size, (1, W)), lengths_to_mask([5], W)
    video_mask = lengths_to_mask([3], T)
    with torch.no_grad():
        video = univl.encode_video(torch.randn(1, T, univl.config.video_dim), video_mask)
        memory, _ = univl.cross_encode(univl.encode_text(ids, mask), mask, video, video_mask)
    return {"ids": ids, "mask": mask, "video": video, "video_mask": video_mask}, memory


def test_queries_are_encoded_as_by_an_adapted_clip():
    model = build().eval()
    ids, mask = captions(4, 9)
    file = export_query_encoder(model, ids.shape[1])
    with torch.no_grad():
        expected = torch.nn.functional.normalize(model.encode_caption(ids, mask), dim=-1).numpy()
    assert ids[0].max() == VOCABULARY - 1 and not np.allclose(*expected, atol=0.1)
    for row, vector in zip(ids, expected, strict=True):
        np.testing.assert_allclose(run(file, ids=row[None])[0][0], vector, **CLOSE)


def test_a_tower_of_another_design_is_refused():
    class Other:
        own_text = False

    with pytest.raises(ConfigError, match="OpenAI's design"):
        export_query_encoder(Other(), 8)


def test_words_and_frames_are_encoded_as_by_univl(univl, clip_of_univl):
    inputs, memory = clip_of_univl
    (found,) = run(export_caption_reader(univl, W, T), **inputs)
    np.testing.assert_allclose(found, memory.numpy(), **CLOSE)


def test_next_words_and_attention_are_those_of_the_decoder(univl, clip_of_univl):
    inputs, memory = clip_of_univl
    memory_mask = torch.cat([inputs["mask"], inputs["video_mask"]], dim=1)
    torch.manual_seed(1)
    ids = torch.randint(10, univl.config.vocab_size, (2, C))
    file = export_next_word(univl, beams=2, words=C, frames=W + T - C)
    captions = (ids, torch.ones_like(ids), memory.expand(2, -1, -1), memory_mask.expand(2, -1))
    with torch.no_grad():
        log_probs = univl.decode(*captions).log_softmax(-1).numpy()  # (2, C, V)
        attention = univl.decoder.attention_over_memory(*captions, *univl.tables()).numpy()  # (2, C, W+T)
    for position in (0, 3):
        later = ids.clone()
        later[:, position + 1 :] = univl.config.pad_token_id  # what is not yet written
        place = torch.tensor([position])
        found = run(file, ids=later, position=place, memory=memory, memory_mask=memory_mask)
        np.testing.assert_allclose(found[0], log_probs[:, position], **CLOSE)
        np.testing.assert_allclose(found[1], attention[:, position], **CLOSE)
    assert np.abs(log_probs[:, 0] - log_probs[:, 3]).max() > 0.1
