"""Build the course site: `make site`, or python docs/site/build.py --out FOLDER.

What the site shows is gathered into a folder that is laid out like the repository, so that links between notebooks,
documents and results stay what they are. Notebooks keep the outputs that they were committed with.
"""

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import nbformat

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(ROOT), str(HERE)]

import api  # noqa: E402  beside this file
import live_page  # noqa: E402

from minivl import ledger  # noqa: E402
from minivl.curriculum import ASSIGNMENTS  # noqa: E402
from minivl.prose import DEFINITION  # noqa: E402

RESULTS = "data_samples/results"
EXPLORERS = {  # page: (command, what it shows); {name} is the folder of a run in live_page.TRAINED
    "clip": (
        "explore kitchen {adapted}",
        "CLIP as it is beside the one that the quick start adapts, on the bundled kitchen clips",
    ),
    "univl": (
        "explore {joint} {align} --subset 60",
        "UniVL after 25 steps of fine-tuning for retrieval, FT-Joint beside FT-Align, on some bundled narrated clips",
    ),
    "ablations": (
        f"ablate explore {RESULTS}/fusion-and-alignment {RESULTS}/discovla_components.csv {RESULTS}/univl_ablation.csv",
        "ablations, with every run of the committed results",
    ),
}
LINKS = {  # of documents, and what stands for them on the site, which students see
    "](notebooks/assignments)": "](assignments.md)",
    "[exam](exam.md) with [answers](exam_answers.md)": "exam with answers in the repository",
    "[exam](exam.md); its [answers](exam_answers.md) stand apart": "exam, in the repository",
}
HIDDEN = ("exam.md", "exam_answers.md")


def gather(source: Path) -> None:
    """Copy all that becomes a page, or is linked, into the folder `source`."""
    for name in ("conf.py", "index.md", "_static"):
        item = HERE / name
        (shutil.copytree if item.is_dir() else shutil.copy)(item, source / name)
    for file in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("data_samples/**/*.md")]:
        if HERE not in file.parents and "course" not in file.relative_to(ROOT).parts and file.name not in HIDDEN:
            _copy(file, source)
    for file in [*ROOT.glob("data_samples/results/**/*.csv"), *ROOT.glob("docs/*.png")]:
        _copy(file, source)
    for file in sorted(ROOT.glob("notebooks/*.ipynb")) + sorted(ROOT.glob("notebooks/assignments/*.ipynb")):
        _copy(file, source / "downloads")
        _with_download(file, source / file.relative_to(ROOT))


def _copy(file: Path, folder: Path) -> None:
    target = folder / file.relative_to(ROOT)
    target.parent.mkdir(parents=True, exist_ok=True)
    if file.suffix != ".md":
        shutil.copy(file, target)
        return
    text = file.read_text(encoding="utf-8")
    for link, instead in LINKS.items():
        text = text.replace(link, instead)
    text = re.sub(r"\]\((?:\.\./)*notebooks/slides/\d\d\.md\)", "](../../slides.md)", text)  # the map: sources of decks
    target.write_text(re.sub(r"\A---\n.*?\n---\n", "", text, flags=re.S), encoding="utf-8")  # the hub reads that part


def _with_download(file: Path, target: Path) -> None:
    """A notebook with a link to its file below its title."""
    notebook = nbformat.read(file, as_version=4)
    up = "../" * len(file.relative_to(ROOT).parent.parts)
    link = f"{{download}}`This page as a notebook <{up}downloads/{file.relative_to(ROOT).as_posix()}>`"
    for number, cell in enumerate(notebook.cells):
        if cell.cell_type == "markdown":
            cell.source = _labels_of_cell(cell.source, number)
    notebook.cells.insert(1, nbformat.v4.new_markdown_cell(link))
    target.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, target)


def _labels_of_cell(text: str, number: int) -> str:
    """Labels of references are those of a cell; on the site all cells are one page."""
    for label, *_ in DEFINITION.findall(text):
        text = text.replace(f"][{label}]", f"][{number}-{label}]").replace(f"\n[{label}]: ", f"\n[{number}-{label}]: ")
    return text


def write_assignments(source: Path) -> None:
    """A page that lists the student editions of the assignments."""
    rows = []
    for name, assignment in ASSIGNMENTS.items():
        tasks = ", ".join(f"`{task}`" for task in assignment.tasks)
        rows.append(f"| [{name}](notebooks/assignments/{name}.ipynb) | {', '.join(assignment.lessons)} | {tasks} |")
    listed = "\n".join(f"notebooks/assignments/{name}" for name in ASSIGNMENTS)
    text = (
        "# Assignments\n\nFunctions and modules of both papers, to be written by students. Every page can be "
        "downloaded as a notebook; `minivl check NAME` says what is right, and what is wrong with what is not.\n\n"
        "| assignment | after lessons | tasks |\n|---|---|---|\n"
        + "\n".join(rows)
        + f"\n\n```{{toctree}}\n:hidden:\n\n{listed}\n```\n"
    )
    (source / "assignments.md").write_text(text, encoding="utf-8")


def write_cards(source: Path) -> None:
    """A page that leads to the cards of bundled data and models."""

    def listed(pattern):
        pages = "\n".join(sorted(str(file.relative_to(source).with_suffix("")) for file in source.glob(pattern)))
        return f"```{{toctree}}\n:maxdepth: 1\n\n{pages}\n```\n"

    text = (
        f"# Cards of data and models\n\nAll were made by this package.\n\n{listed('data_samples/*/README.md')}\n"
        "## Predictions\n\nWhat was expected of each study, committed before it was run.\n\n"
        f"{listed('data_samples/results/*/prediction.md')}"
    )
    (source / "cards.md").write_text(text, encoding="utf-8")


def write_ledger(source: Path) -> None:
    """The ledger as a table that can be sorted and searched, with its script inside the page."""
    import itables
    from itables.javascript import generate_init_offline_itables_html

    first = ["task", "corpus", "metric", "paper", "ours", "delta", "status"]
    table = ledger.ledger_table(ledger.read_ledger())
    table = table[first + [column for column in table if column not in first]]
    layout = {"topStart": "search", "topEnd": None, "bottomStart": "info", "bottomEnd": "paging"}
    html = generate_init_offline_itables_html(itables.options.dt_bundle)
    html += itables.to_html_datatable(
        table, connected=False, layout=layout, maxBytes=0, pageLength=25, scrollX=True, classes="display"
    )
    text = (
        "# Ledger\n\nEvery cell of the papers' tables that this project names, and what became of it; lesson "
        f"[09](notebooks/09_ledger.ipynb) explains it.\n\n```{{raw}} html\n{html}\n```\n"
    )
    (source / "ledger.md").write_text(text, encoding="utf-8")


def write_explorers(source: Path) -> None:
    """Run `minivl explore` and `minivl ablate explore` on what is bundled, and show what they write."""
    parts = [
        "# Explorers\n",
        "Pages that `minivl explore` and `minivl ablate explore` wrote: each works by itself, from a file, without a "
        "network.\n",
    ]
    folder = source / "_static" / "explorers"
    folder.mkdir(parents=True)
    for name, (command, what) in EXPLORERS.items():
        page, words = folder / f"{name}.html", [_with_run(word) for word in command.split()]
        subprocess.run([sys.executable, "-m", "minivl", *words, "--out", str(page)], check=True, cwd=ROOT)
        parts.append(f"## {what[0].upper()}{what[1:]}\n")
        at = f"_static/explorers/{name}.html"
        parts.append(
            f'```{{raw}} html\n<p><a href="{at}">Open it on a page of its own.</a></p>\n'
            f'<iframe class="explorer" loading="lazy" title="Explorer: {what}" src="{at}"></iframe>\n```\n'
        )
    (source / "explorers.md").write_text("\n".join(parts), encoding="utf-8")


def _with_run(word: str) -> str:
    """A word of a command; of "{name}" the folder of that run."""
    return str(live_page.trained(word[1:-1])) if word.startswith("{") else word


def write_slides(source: Path) -> None:
    """The decks that `minivl course slides` makes, and a page that leads to them."""
    folder = source / "_static" / "slides"
    subprocess.run([sys.executable, "-m", "minivl", "course", "slides", "--out", str(folder)], check=True, cwd=ROOT)
    decks = "\n".join(
        f"<li><a href='_static/slides/{deck.name}'>{deck.stem}</a></li>" for deck in sorted(folder.iterdir())
    )
    text = (
        "# Slides\n\nOne deck per lesson, each a file that works by itself: arrow keys, S for the speaker's notes, and "
        "`?print-pdf` behind its address for paper.\n\n"
        f"```{{raw}} html\n<ul>\n{decks}\n</ul>\n```\n"
    )
    (source / "slides.md").write_text(text, encoding="utf-8")


def build(out: Path) -> None:
    """Build the site into `out`. A warning of Sphinx is an error."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "source"
        source.mkdir()
        gather(source)
        write_assignments(source)
        write_cards(source)
        write_ledger(source)
        write_slides(source)
        write_explorers(source)
        live_page.write_live(source)
        print(f"API reference: {api.write_pages(ROOT / 'minivl', source / 'api')} names")
        sphinx = [sys.executable, "-m", "sphinx", "-b", "html", "-j", "auto", "-W", "--keep-going", "-q"]
        shutil.rmtree(out, ignore_errors=True)
        subprocess.run([*sphinx, "-d", f"{folder}/doctrees", str(source), str(out)], check=True)
    print(f"{out / 'index.html'}: {len(list(out.rglob('*.html')))} pages")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "site", help="folder of the site")
    build(parser.parse_args().out)
