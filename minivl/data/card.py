"""A card for a folder of data in the one schema: what is in it, counted, and how it was made."""

import json
from pathlib import Path

from minivl.data.schema import COLUMNS, load_split

CARD = Path(__file__).with_suffix(".md")
SPLITS = ("pretrain", "train", "val", "test")
FILES = ["README.md", "*.json", "*.jsonl", "*.mp4", "*.webm", "*.npy", "*.safetensors"]  # what is uploaded
UNKNOWN = "of this data set's own"


def data_card(folder: Path | str, command: str = "", limits: str = "") -> str:
    """The Markdown of a card: rows and columns of every split; for a rendered world also its settings.

    Raises FileNotFoundError for a folder without data, SchemaError for broken lines.
    """
    folder = Path(folder)
    names = sorted(
        (path.parent.name for path in folder.glob("*/metadata.jsonl")),
        key=lambda name: (SPLITS.index(name) if name in SPLITS else len(SPLITS), name),
    )
    splits = {name: load_split(folder, name) for name in names or SPLITS[1:]}
    columns = dict.fromkeys(column for rows in splits.values() for column in rows.column_names)
    meanings = {name: COLUMNS[name].meaning if name in COLUMNS else UNKNOWN for name in columns}
    counts = ", ".join(f"{len(rows):,} {name}" for name, rows in splits.items())
    parts = [
        CARD.read_text(encoding="utf-8").format(
            name=folder.absolute().name,
            counts=counts,
            split=next(iter(splits)),
            configs="\n".join(f"  - split: {name}\n    path: {name}/*" for name in splits),
            columns="\n".join(f"| `{name}` | {meaning} |" for name, meaning in meanings.items()),
        )
    ]
    if command:
        parts.append(f"## Command\n\n    {command}\n")
    if (folder / "world.json").is_file():
        settings = json.loads((folder / "world.json").read_text(encoding="utf-8"))
        listing = "\n".join(f"    {name} = {value}" for name, value in settings.items())
        parts.append(f"## Settings of the world\n\nRendered by minivl, nothing comes from elsewhere.\n\n{listing}\n")
    if limits:
        parts.append(f"## Limits\n\n{limits}\n")
    return "\n".join(parts)
