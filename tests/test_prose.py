"""Prose that quotes results: what stands there is what the tables say."""

from pathlib import Path

import nbformat
import pandas as pd
import pytest
from typer.testing import CliRunner

from minivl.cli import app
from minivl.prose import ProseError, rendered, update

REPO = Path(__file__).resolve().parents[1]
TEXTS = [
    *REPO.glob("*.md"),
    *(REPO / "data_samples" / "results").rglob("*.md"),
    *(REPO / "notebooks").glob("*.ipynb"),
    *(REPO / "docs").glob("*.md"),
]
GAIN = '[gain]: runs.csv "fused minus lora | R@1 | {difference:+.1f} [{low:.1f}, {high:.1f}]"\n'
WORD = '[word]: verdicts.csv "fusion | {verdict}"\n'


@pytest.mark.parametrize("file", TEXTS, ids=lambda file: file.name)
def test_numbers_in_prose_are_those_of_the_results(file):
    assert not update(file, write=False), f"{file.name}: run `minivl numbers`"


def test_some_prose_is_bound_to_results():
    assert "data_samples/results/discovla_converged.csv" in (REPO / "README.md").read_text(encoding="utf-8")


@pytest.fixture
def folder(tmp_path):
    runs = {"cell": ["lora", "lora", "fused", "fused"], "seed": [0, 1, 1, 0], "R@1": [1.0, 3.0, 6.0, 2.0]}
    pd.DataFrame(runs).to_csv(tmp_path / "runs.csv", index=False)
    verdicts = {"comparison": ["fusion", "alignment"], "verdict": ["helps", "hurts"], "Holm p": [0.01, 0.0004]}
    pd.DataFrame(verdicts).to_csv(tmp_path / "verdicts.csv", index=False)
    return tmp_path


def test_what_stands_in_the_brackets_is_written_anew(folder):
    text = f"It is ahead by [9 [1, 2]][gain] R@1, so fusion [hurts][word]. [Not this][other] [9].\n\n{GAIN}{WORD}"
    found = rendered(text, folder)
    assert found.startswith(
        "It is ahead by [+2.0 [-10.7, 14.7]][gain] R@1, so fusion [helps][word]. [Not this][other] [9]"
    )
    assert found.endswith(f"\n\n{GAIN}{WORD}") and rendered(found, folder) == found


def test_means_and_other_columns(folder):
    text = (
        '[x][m] [x][p]\n\n[m]: runs.csv "lora | {R@1:.1f} ± {R@1 sd:.2f}"\n[p]: verdicts.csv "alignment | {Holm p:.4f}"'
    )
    assert rendered(text, folder).startswith("[2.0 ± 1.41][m] [0.0004][p]")


def test_some_rows_of_a_cell(folder):
    text = '[x][seed]\n\n[seed]: runs.csv "lora where seed is 1 | {R@1:.1f}"\n'
    assert rendered(text, folder).startswith("[3.0][seed]")


@pytest.mark.parametrize(
    "definition, message",
    [
        ('[a]: none.csv "lora | {R@1}"', r"\[a\]: none.csv .*FileNotFoundError"),
        ('[a]: runs.csv "other | {R@1}"', "no 'other' in the column 'cell'"),
        ('[a]: verdicts.csv "other | {p}"', "no 'other' in the column 'comparison'"),
        ('[a]: runs.csv "lora | {R@5}"', "KeyError: 'R@5'"),
        ('[a]: runs.csv "lora where seed is 7 | {R@1}"', "'lora' has no '7' in the column 'seed'"),
        ('[a]: runs.csv "lora where step is 7 | {R@1}"', "KeyError: 'step'"),
        ('[a]: runs.csv "fused minus lora | R@5 | {p}"', "KeyError: 'R@5'"),
        ('[a]: runs.csv "lora"', "write ROW . TEMPLATE"),
        ('[b]: runs.csv "lora | {R@1:.0f}"', r"\[b\] is defined and not used: write \[2\]\[b\]"),
    ],
)
def test_references_that_lead_nowhere(folder, definition, message):
    with pytest.raises(ProseError, match=message):
        rendered(f"[1][a]\n\n{definition}\n", folder)


def test_files_and_notebooks_are_put_right(folder):
    text = f"[1][gain]\n\n{GAIN}"
    (folder / "a.md").write_text(text)
    cells = [nbformat.v4.new_markdown_cell(text), nbformat.v4.new_code_cell("# [1][gain]")]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), folder / "b.ipynb")
    for name in ("a.md", "b.ipynb"):
        assert update(folder / name, write=False) and update(folder / name) and not update(folder / name)
    written = nbformat.read(folder / "b.ipynb", as_version=4)
    assert written.cells[0].source.startswith("[+2.0") and written.cells[1].source == "# [1][gain]"
    (folder / "a.md").write_text(text.replace("runs", "gone"))
    with pytest.raises(ProseError, match=r"a\.md: \[gain\]: gone\.csv"):
        update(folder / "a.md")


def test_the_command(folder):
    file = folder / "a.md"
    file.write_text(f"[1][gain]\n\n{GAIN}")
    result = CliRunner().invoke(app, ["numbers", str(file)], catch_exceptions=False)
    assert "a.md" in result.output and file.read_text().startswith("[+2.0")
    assert "as the results say" in CliRunner().invoke(app, ["numbers", str(file)], catch_exceptions=False).output
