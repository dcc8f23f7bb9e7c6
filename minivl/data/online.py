"""Whether the Hugging Face hub answers. Its client tries for more than a minute before it says that it does not."""

import os
from functools import lru_cache

from minivl.config import ConfigError

SECONDS = 5
HELP = (
    "it is not in this machine's cache of the hub, and the hub does not answer. Where there is a network, "
    "`hf download NAME` puts it into ~/.cache/huggingface/hub, which can be copied; or give a folder"
)


@lru_cache
def hub_answers() -> bool:
    """Check once per process if the hub can be reached; if not, all libraries look into their caches only.

    They then find what is there, or fail at once, as with HF_HUB_OFFLINE=1. Call it before what may download.
    """
    from huggingface_hub import constants, get_session

    if constants.HF_HUB_OFFLINE:
        return False
    try:
        get_session().head(constants.ENDPOINT, timeout=SECONDS)  # with the proxy and certificates of downloads
    except Exception:  # the client has dozens of kinds; whichever it is, downloads would meet it, too
        constants.HF_HUB_OFFLINE, os.environ["HF_HUB_OFFLINE"] = True, "1"  # here, and in processes started from here
        return False
    return True


def require_hub() -> None:
    """Raise ConfigError if the hub does not answer."""
    if not hub_answers():
        raise ConfigError(
            "this needs the Hugging Face hub, which does not answer: run it where there is a network (HF_HUB_OFFLINE "
            "must not be set; HF_ENDPOINT names another hub)"
        )
