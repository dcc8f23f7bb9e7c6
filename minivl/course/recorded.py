"""Inputs and results of the papers' released code, for the tasks that can be compared with it.

They are excerpts of tests/recorded, which is not in the wheel: `TASK.INPUT` for each input, and `TASK.result`.
"""

import functools
from typing import Any

from safetensors.torch import load_file
from torch import Tensor

from minivl.config import BUNDLED

RECORDED = BUNDLED / "course" / "recorded.safetensors"


def recorded_of(task: str) -> tuple[dict[str, Any], Any] | None:
    """Inputs of a task by name, and the result; None if the released code has nothing like it."""
    own = {name.partition(".")[2]: value for name, value in _all().items() if name.partition(".")[0] == task}
    if not own:
        return None
    result = own.pop("result")
    inputs = {name: value if value.ndim else value.item() for name, value in own.items()}
    return inputs, result.item() if result.dtype.itemsize == 8 else result  # Python's numbers are the double ones


@functools.cache
def _all() -> dict[str, Tensor]:
    return load_file(RECORDED)
