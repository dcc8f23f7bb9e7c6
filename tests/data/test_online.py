"""Without a network, what is not in the cache fails at once, wherever a name on the hub can be given."""

import socket

import huggingface_hub
import pytest
from huggingface_hub import constants

from minivl.clip import ModelError, load_clip
from minivl.data import online
from minivl.data.wordpiece import TokenizerError, load_tokenizer
from minivl.hub.checkpoints import CheckpointError
from minivl.hub.folders import find
from minivl.univl.pretraining import load_bert

LOADERS = {
    "find": (lambda: find("nobody/none"), CheckpointError),
    "load_clip": (lambda: load_clip("ViT-B-32", "openai"), ModelError),
    "load_tokenizer": (lambda: load_tokenizer("nobody/none"), TokenizerError),
    "load_bert": (lambda: load_bert(None, "nobody/none"), ModelError),
}


class NoNetwork:
    def __init__(self):
        self.asked = 0

    def head(self, *_, **options):
        self.asked += 1
        assert options["timeout"] <= 5
        raise OSError("no network")


@pytest.fixture
def offline(tmp_path, monkeypatch):
    """A machine without a network and with an empty cache."""
    session = NoNetwork()
    monkeypatch.setattr(huggingface_hub, "get_session", lambda: session)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    online.hub_answers.cache_clear()
    yield session
    online.hub_answers.cache_clear()


@pytest.mark.parametrize("loader", LOADERS)
def test_each_loader_asks_once_and_says_how_to_get_it(offline, monkeypatch, loader):
    def no_requests(*_, **__):
        raise AssertionError("a request was made")

    monkeypatch.setattr(socket, "getaddrinfo", no_requests)
    load, error = LOADERS[loader]
    for _ in range(2):
        with pytest.raises(error, match="not in this machine's cache.*hf download"):
            load()
    assert offline.asked == 1


def test_with_a_network_nothing_changes(monkeypatch, offline):
    offline.head = lambda *_, **__: None
    assert online.hub_answers() and not constants.HF_HUB_OFFLINE
