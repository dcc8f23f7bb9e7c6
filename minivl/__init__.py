"""minivl: learn, teach and reproduce video-language pretraining (UniVL and DiscoVLA).

The names in `__all__` are imported when they are first used, so that `import minivl` is quick:

    minivl.load_clip("kitchen")                                          # a dual encoder by its name
    minivl.open_searcher("kitchen"), minivl.search(query, paths, ...)    # videos by text
    minivl.load_split(folder, "test")                                    # rows of the one schema
    minivl.load_task("runs/segmentation/model").predictions(rows)        # a fine-tuned UniVL
    minivl.UniVL, minivl.S3D, minivl.DiscoVLA                            # each has from_pretrained and from_reference
    minivl.explore(exploration), minivl.write_page(exploration, file)    # the explorer of alignment
    minivl.scale("small")                                                # every setting
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from minivl.clip import load_clip
    from minivl.config import scale
    from minivl.data.folder import find_videos
    from minivl.data.schema import load_split
    from minivl.discovla import DiscoVLA
    from minivl.explorer import explore, load_exploration, save_exploration, write_page
    from minivl.s3d import S3D
    from minivl.tasks.clip.search import open_searcher, search
    from minivl.tasks.univl import load_task
    from minivl.univl import UniVL

__version__ = "0.2.0.dev0"

_PLACES = {  # as above, for Python
    "DiscoVLA": "minivl.discovla",
    "S3D": "minivl.s3d",
    "UniVL": "minivl.univl",
    "explore": "minivl.explorer",
    "find_videos": "minivl.data.folder",
    "load_clip": "minivl.clip",
    "load_exploration": "minivl.explorer",
    "load_split": "minivl.data.schema",
    "load_task": "minivl.tasks.univl",
    "open_searcher": "minivl.tasks.clip.search",
    "save_exploration": "minivl.explorer",
    "scale": "minivl.config",
    "search": "minivl.tasks.clip.search",
    "write_page": "minivl.explorer",
}
__all__ = ["__version__", *_PLACES]


def __getattr__(name: str) -> Any:
    """One of the names above, from its own module (PEP 562)."""
    if name not in _PLACES:
        raise AttributeError(f"module 'minivl' has no attribute {name!r}; it offers {', '.join(__all__)}")
    found = globals()[name] = getattr(import_module(_PLACES[name]), name)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
