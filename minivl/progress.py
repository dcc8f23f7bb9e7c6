"""Progress bars of whatever takes long: widgets in a notebook, text in a terminal.

`minivl lesson` sets MINIVL_PROGRESS=text for the kernel: it shows bars in the terminal, and keeps none in the notebook.
"""

import os

if os.environ.get("MINIVL_PROGRESS") == "text":
    from tqdm import tqdm
else:
    from tqdm.auto import tqdm  # text, too, where a notebook lacks ipywidgets

__all__ = ["tqdm"]
