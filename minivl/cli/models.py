"""What works with which dual encoder."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from minivl.cli import clip_names
from minivl.cli.options import among, app
from minivl.config import ConfigError

if TYPE_CHECKING:
    from minivl.clip.architectures import Architecture

Chosen = Annotated[
    str | None,
    typer.Argument(
        autocompletion=among(clip_names.architectures),
        help="one architecture, or a part of names, such as SigLIP",
        show_default=False,
    ),
]


@app.command()
def models(name: Chosen = None) -> None:
    """Architectures that search, evaluate and adapt take, and what works with each: LoRA, IVFusion, or why not.

    One name also gives its parameters, weights and tokenizer.
    """
    if name is not None and not any(name.lower() in known.lower() for known in clip_names.architectures()):
        raise ConfigError(f"open_clip has no architecture with {name!r} in its name: `minivl models` lists all")
    from minivl.clip.architectures import architectures

    found = [entry for entry in architectures() if name is None or name.lower() in entry.name.lower()]
    exact = [entry for entry in found if entry.name == name]
    if exact:
        _print_one(exact[0])
        return
    print(f"{'architecture':36s} {'family':12s} {'pixels':>6s}  zero-shot  LoRA  IVFusion")
    for entry in found:
        known = "yes" if entry.yes == "yes" else "?"
        lora, fusion = ("-" if reason else known for reason in (entry.lora, entry.fusion))
        why = entry.lora or entry.fusion
        why += "" if entry.yes == "yes" else f"{'; ' if why else ''}{entry.yes}"
        print(f"{entry.name:36s} {entry.family:12s} {entry.image_size:6d}  {known:9s}  {lora:4s}  {fusion:8s}  {why}")
    print(
        "\nFolders of transformers' CLIP, SigLIP, SigLIP 2, AltCLIP, ChineseCLIP (and MetaCLIP 2, not tried) are read, "
        "too: zero-shot, LoRA, and IVFusion where there is a class token (not SigLIP, SigLIP 2)"
    )


def _print_one(entry: "Architecture") -> None:
    """One architecture, built on torch's meta device if its sizes are here."""
    print(f"{entry.name}: {entry.family}, {entry.image_size} x {entry.image_size} pixels, text tower: {entry.text}")
    works = {"zero-shot": "", "LoRA": entry.lora, "IVFusion of frames": entry.fusion}
    works["IVFusion of frame captions"] = entry.text_fusion
    for what, why in works.items():
        print(f"  {what:28s} {f'no: {why}' if why else entry.yes}")
    import torch
    from open_clip import create_model, list_pretrained_tags_by_model

    if "/" not in entry.text:
        logging.disable(logging.WARNING)  # that it is random
        with torch.device("meta"):
            model = create_model(entry.name, device="meta")
        print(f"  {'parameters':28s} {sum(p.numel() for p in model.parameters()):,}")
    print(f"  {'weights on the hub':28s} {', '.join(list_pretrained_tags_by_model(entry.name)) or 'none'}")
    needs = ["open_clip_model.safetensors"] + (["tokenizer.json"] if entry.tokenizer else [])
    needs += ["config.json of its text tower"] if "/" in entry.text else []
    file = "" if entry.tokenizer else f" --model {entry.name}/./weights.safetensors, or"
    print(f"  {'without a network':28s}{file} --model {entry.name}/FOLDER with {', '.join(needs)}")


@app.command("export-lora")
def export_lora_command(
    model: Annotated[Path, typer.Argument(exists=True, file_okay=False, help="a folder saved by 'minivl adapt'")],
    folder: Annotated[Path, typer.Argument(file_okay=False, help="where adapter_config.json and weights go")],
) -> None:
    """Write the LoRA of an adapted model as Hugging Face's peft reads it. Fusion adapters stay behind."""
    if not (model / "config.json").is_file():
        raise ConfigError(f"{model} is no model that `minivl adapt` saved: it has no config.json")
    from minivl.discovla import DiscoVLA
    from minivl.discovla.peft_format import export_lora

    export_lora(DiscoVLA.from_pretrained(model), folder)
    print(f"saved: {folder}")


@app.command("import-lora")
def import_lora_command(
    folder: Annotated[Path, typer.Argument(exists=True, file_okay=False, help="with adapter_config.json and weights")],
    out: Annotated[Path, typer.Argument(file_okay=False, help="where the model goes, for --model")],
    clip: Annotated[str, typer.Option(help="the CLIP that it belongs to, as for 'minivl search --model'")],
) -> None:
    """Make a model of LoRA that peft saved, for search, evaluate and explore."""
    from minivl.cli.options import require_clip
    from minivl.cli.search import clip_of

    require_clip(clip)
    if not (folder / "adapter_config.json").is_file():
        raise ConfigError(f"{folder} has no adapter_config.json, as peft writes it")
    from minivl.discovla.peft_format import import_lora

    name, pretrained = map(str, clip_of(clip).values())
    import_lora(folder, name, None if pretrained == "none" else pretrained).save_pretrained(out)
    print(f"saved: {out}")
