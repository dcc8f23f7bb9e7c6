"""Numbers and verdicts in prose that come from tables of results, and can't differ from them.

They are Markdown's own references, whose link is the table and whose title says what of it stands there:

    With as many parameters IVFusion is ahead of LoRA by [11.6 [6.7, 16.5]][gain] R@sum.

    [gain]: results/runs.csv "IVFusion minus LoRA | R@sum | {difference:.1f} [{low:.1f}, {high:.1f}]"

A reader sees a number that links to its table. `rendered` writes anew what is in the first brackets. A title is

    ROW | TEMPLATE               the row that has ROW in the column "cell", else in the first one. Of several (one per
                                 seed) numbers are the mean, and "{R@1 sd:.1f}" is the standard deviation of "R@1".
                                 "ROW where step is 100" are those of them with 100 in the column "step"
    A minus B | SCORE | TEMPLATE what `paired_seeds` gives for two cells

and a template names columns as `str.format` does.
"""

import re
from pathlib import Path

import pandas as pd

from minivl.data.tables import named_rows
from minivl.metrics.bootstrap import paired_seeds

DEFINITION = re.compile(r'^\[([^\]\n]+)\]: +(\S+\.csv) +"([^"\n]+)"$', re.MULTILINE)


class ProseError(ValueError):
    """A reference that cannot be resolved; the message says which."""


def rendered(text: str, folder: Path) -> str:
    """Markdown with what its references say now; `folder` is where its links start.

    Raises ProseError for a reference that nothing uses, or whose table, row or column is not there.
    """
    for label, file, title in DEFINITION.findall(text):
        try:
            value = _value(folder / file, title)
        except (OSError, LookupError, ValueError) as error:
            raise ProseError(f'[{label}]: {file} "{title}": {type(error).__name__}: {error}') from error
        use = re.compile(rf"\[(?:[^\[\]]|\[[^\[\]]*\])*\]\[{re.escape(label)}\]")  # brackets in the text are balanced
        shown = f"[{value}][{label}]"
        text, count = use.subn(shown.replace("\\", r"\\"), text)
        if not count:
            raise ProseError(f"[{label}] is defined and not used: write [{value}][{label}] where it belongs")
    return text


def update(file: Path, write: bool = True) -> bool:
    """Put the numbers right in a Markdown file, or the Markdown cells of a notebook, and say whether any was wrong.

    Raises ProseError as `rendered`, with the name of the file.
    """
    import nbformat

    try:
        if file.suffix != ".ipynb":
            old = file.read_text(encoding="utf-8")
            if (new := rendered(old, file.parent)) != old and write:
                file.write_text(new, encoding="utf-8")
            return new != old
        notebook, changed = nbformat.read(file, as_version=4), False
        for cell in notebook.cells:
            if cell.cell_type == "markdown" and (new := rendered(cell.source, file.parent)) != cell.source:
                cell.source, changed = new, True
        if changed and write:
            nbformat.write(notebook, file)
        return changed
    except ProseError as error:
        raise ProseError(f"{file}: {error}") from error


def _value(file: Path, title: str) -> str:
    """What a title says about a table."""
    *where, template = title.split(" | ")
    table = pd.read_csv(file)
    if len(where) == 2:
        a, b = (named_rows(table, cell).set_index("seed")[where[1]] for cell in where[0].split(" minus "))
        found = paired_seeds(a, b.loc[a.index])
    elif len(where) == 1:
        rows = named_rows(table, where[0])
        numbers = rows.select_dtypes("number")
        found = {**rows.iloc[0], **numbers.mean(), **numbers.std().add_suffix(" sd")}
    else:
        raise ValueError("write ROW | TEMPLATE, or A minus B | SCORE | TEMPLATE")
    return template.format(**found)
