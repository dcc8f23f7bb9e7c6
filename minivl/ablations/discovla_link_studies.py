"""The studies of links between frames: what it takes to learn what met what, asked for alone."""

from typing import Any

from minivl.ablations.discovla_links import describe_links, run_links
from minivl.ablations.runner import Cell
from minivl.ablations.study import Contrast, Study

DISHES = (2, 3)  # of a video, to be told apart by what met what
LINKS = {"videos_test": 1160, "batch_size": 64, "learning_rate": 1e-3, "rounds": 20, "videos": 9600}
SEEN_ALONE: dict[str, dict[str, Any]] = {"sum": {"head": "sum"}, "bag": {"head": "bag"}}
SEEING: dict[str, dict[str, Any]] = {
    name: {"head": "attention", "layers": 2, **changes}
    for name, changes in (
        ("2 layers", {}),
        ("1 layer", {"layers": 1}),
        ("2400 videos", {"videos": 2400}),
        ("600 videos", {"videos": 600}),
        ("from the batch", {"told_from": "batch"}),
    )
}
# CLIP's own last blocks, as DiscoVLA fuses frames in them; the rates are those that did best in a pilot in world 0.
IN_FUSION = {**LINKS, "dishes": 2, "blocks": 2, "rank": 8, "learning_rate": 1e-2}
FUSED: dict[str, dict[str, Any]] = {
    "IVFusion": {"strategy": "adapter"},
    "image level": {"strategy": "image"},
    "average": {"strategy": "average"},
    "video level": {"strategy": "video"},
    "one layer": {"strategy": "adapter", "blocks": 1},
    "rank 2": {"strategy": "adapter", "rank": 2},
    "all weights": {"strategy": "adapter", "rank": None, "learning_rate": 1e-3},
}

LINK_STUDIES = (
    Study(
        name="links-learned",
        question="What does it take to learn what met what, where no single frame shows it?",
        cells=tuple(
            Cell(f"{name}, {dishes} dishes", {**LINKS, **changes, "dishes": dishes})
            for dishes in DISHES
            for name, changes in (SEEN_ALONE | SEEING).items()
        ),
        contrasts=tuple(
            Contrast(f"{name}, {dishes} dishes", f"{a}, {dishes} dishes", f"{b}, {dishes} dishes", "links")
            for dishes in DISHES
            for name, a, b in (
                ("bag", "bag", "sum"),
                ("2 layers", "2 layers", "bag"),
                ("second layer", "2 layers", "1 layer"),
                ("9600 videos", "2 layers", "2400 videos"),
                ("2400 videos", "2400 videos", "600 videos"),
                ("from the group", "2 layers", "from the batch"),
            )
        ),
        run=run_links,
        prepare=describe_links,
    ),
    Study(
        name="links-in-fusion",
        question="Can DiscoVLA's own fusion layers link what met what, if they are asked?",
        cells=tuple(Cell(name, {**IN_FUSION, **changes}) for name, changes in FUSED.items()),
        contrasts=tuple(
            Contrast(name, a, b, "links")
            for name, a, b in (
                ("IVFusion", "IVFusion", "image level"),
                ("IVFusion or average", "IVFusion", "average"),
                ("IVFusion or video level", "IVFusion", "video level"),
                ("second layer", "IVFusion", "one layer"),
                ("rank 8 or 2", "IVFusion", "rank 2"),
                ("all weights", "all weights", "IVFusion"),
            )
        ),
        run=run_links,
        prepare=describe_links,
    ),
)
