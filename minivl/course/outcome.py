"""What a function does with its inputs, and the first difference between two such outcomes, in words."""

import numbers
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import minivl

LIBRARIES = ("site-packages", str(Path(minivl.__file__).parent))  # whose lines are not the student's
CONVERSIONS = {  # from what is often returned in place of a kind
    "number": ": .item() makes one of a tensor",
    "truth value": ": bool(...) makes one",
    "list": ": .tolist(), or list(...), makes one",
}
TOLERANCE = {"rtol": 1e-4, "atol": 1e-5}


@dataclass(frozen=True)
class Outcome:
    """Results by name (one result: ""), gradients of inputs by name (None: there is none), or the error."""

    results: dict[str, Any]
    gradients: dict[str, Tensor | None]
    changed: tuple[str, ...] = ()  # inputs that were changed in place
    unconnected: bool = False  # gradients were asked for, and the result depends on no input
    error: Exception | SystemExit | None = None

    def with_result(self, result: Any) -> "Outcome":
        """The same with another result."""
        return replace(self, results=_named(result))


def outcome_of(function: Callable, inputs: dict[str, Any], gradients: bool) -> Outcome:
    """Call a function with copies of inputs. Whatever it raises is the outcome, except for an interrupt."""
    given = {name: _copy(value, gradients) for name, value in inputs.items()}
    before = {name: _copy(value, False) for name, value in inputs.items()}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # nbgrader takes whatever is written to stderr for a failed test
            results = _named(function(**given))
            found, unconnected = _gradients(results, given) if gradients else ({}, False)
    except (Exception, SystemExit) as error:  # exit() in a notebook is no end of a check
        return Outcome({}, {}, error=error)
    changed = tuple(name for name, value in before.items() if not same(given[name], value))
    results = {name: value.detach() if isinstance(value, Tensor) else value for name, value in results.items()}
    return Outcome(results, found, changed, unconnected)


def difference(found: Outcome, expected: Outcome) -> str | None:
    """The first difference, as a sentence about what was found that does not tell what was expected; None: the same."""
    if found.error or expected.error:
        return None if type(found.error) is type(expected.error) else _stopped(found.error, expected.error)
    if found.changed != expected.changed:
        return f"it changes its input `{found.changed[0]}` in place; work on a copy" if found.changed else "unchanged"
    if found.results.keys() != expected.results.keys():
        return _other_parts(found.results, expected.results)
    for name, value in expected.results.items():
        if told := _difference(found.results[name], value, _called(name)):
            return told
    if found.unconnected and any(gradient is not None and gradient.any() for gradient in expected.gradients.values()):
        return (
            "the result is right, but no gradient can reach the inputs: .item(), .detach(), .numpy() and "
            "torch.tensor(...) cut it off, so nothing could learn from this"
        )
    for name, gradient in expected.gradients.items():
        if told := _gradient_difference(name, found.gradients[name], gradient):
            return told
    return None


def same(a: Any, b: Any) -> bool:
    """Whether two inputs are equal: tensors, plain values, and lists and dicts of these. Functions always are."""
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict) and isinstance(b, dict):
        return list(a) == list(b) and all(same(a[name], b[name]) for name in a)
    return callable(a) and callable(b) or (type(a) is type(b) and a == b)


def _copy(value, gradients):
    if isinstance(value, list):
        return [_copy(entry, gradients) for entry in value]
    if isinstance(value, dict):
        return {name: _copy(entry, gradients) for name, entry in value.items()}
    if not isinstance(value, Tensor):
        return value
    return value.detach().clone().requires_grad_(gradients and value.is_floating_point())


def _called(name):
    """What a result is called in a sentence: `result`, `result[1]` of a tuple, or by its name in a dict."""
    if not name:
        return "result"
    return f"result[{name}]" if name.isdigit() else name


def _named(result):
    if isinstance(result, dict):
        return {str(name): value for name, value in result.items()}
    if isinstance(result, tuple):
        return {str(place): value for place, value in enumerate(result)}
    return {"": result}


def _gradients(results, given):
    """Gradients of a weighted sum of all results, with weights that tell their entries apart."""
    wanted = {name: value for name, value in given.items() if isinstance(value, Tensor) and value.requires_grad}
    outputs = [value for value in results.values() if isinstance(value, Tensor) and value.requires_grad]
    if not outputs:
        return dict.fromkeys(wanted), True
    weights = [torch.cos(torch.arange(float(value.numel()))).view(value.shape) + 1.5 for value in outputs]
    total = torch.stack([(weight * value).sum() for weight, value in zip(weights, outputs, strict=True)]).sum()
    return dict(zip(wanted, torch.autograd.grad(total, list(wanted.values()), allow_unused=True), strict=True)), False


def _difference(found, expected, what):
    """What differs in a value, or None."""
    if found is None:
        return f"the {what} is None: is there a `return`?"
    if _kind(found) != _kind(expected):
        return (
            f"the {what} is a {_kind(found)} where a {_kind(expected)} is meant{CONVERSIONS.get(_kind(expected), '')}"
        )
    if isinstance(expected, list):
        if len(found) != len(expected):
            return f"the {what} has {len(found)} entries and not {len(expected)}"
        told = (_difference(*pair, f"{what}[{i}]") for i, pair in enumerate(zip(found, expected, strict=True)))
        return next((difference for difference in told if difference), None)
    if not isinstance(expected, Tensor):
        found, expected = torch.tensor(found), torch.tensor(expected)
        found = found.to(expected.dtype) if found == found.to(expected.dtype) else found  # 100 is 100.0
    if found.shape != expected.shape:
        scalar = "" if expected.shape else ", a scalar"
        return f"the {what} has shape {tuple(found.shape)}, and {tuple(expected.shape)} is asked for{scalar}"
    if _family(found) != _family(expected):
        return f"the {what} holds {_family(found)}, and {_family(expected)} are asked for"
    return _values_difference(found, expected, what)


def _values_difference(found, expected, what):
    """The first entry that differs in two tensors of one shape, or None."""
    exact = not expected.is_floating_point()
    same = (
        found == expected if exact else torch.isclose(found.to(expected.dtype), expected, **TOLERANCE, equal_nan=True)
    )
    if same.all():
        return None
    place = tuple((~same).nonzero()[0].tolist())
    value, right = found[place].item(), expected[place].item()
    where = f"[{', '.join(map(str, place))}]" if place else ""
    if not found[place].isfinite():
        return f"the {what}{where} is {value}: look for a division by 0, a log of 0, or a softmax over nothing"
    if exact:
        return f"the {what}{where} is {value}, which is not right"
    told = f"the {what}{where} is {value:.4g}, which is too {'large' if value > right else 'small'}"
    if (
        found.numel() > 1
        and right
        and torch.allclose(found.to(expected.dtype), expected * (value / right), **TOLERANCE)
    ):
        told += "; all values are the right ones times the same number: a sum for a mean, a sign, a scale?"
    return told


def _gradient_difference(name, found, expected):
    none_expected = expected is None or not expected.any()
    if found is None or not found.any():
        return None if none_expected else f"the result is right, but no gradient reaches `{name}`"
    if none_expected:
        return f"the result is right, but a gradient reaches `{name}`, where none is meant to"
    told = _values_difference(found, expected, f"gradient of `{name}`")
    return told and f"the result is right, but {told}"


def _kind(value):
    if isinstance(value, (bool, np.bool_)):
        return "truth value"
    if isinstance(value, np.ndarray):
        return "numpy array"
    return "number" if isinstance(value, numbers.Number) else type(value).__name__.lower()


def _family(tensor):
    if tensor.dtype == torch.bool:
        return "truth values"
    return "floating-point numbers" if tensor.is_floating_point() else "whole numbers"


def _other_parts(found, expected):
    """What is told where something else is returned than one value, a tuple of so many, or a dict of these names."""
    if list(found) == [""] and found[""] is None:
        return f"it returns None, and {_parts(expected)} is asked for: is there a `return`?"
    return f"it returns {_parts(found)}, and {_parts(expected)} is asked for"


def _parts(results):
    if list(results) == [""]:
        return f"one {_kind(results[''])}"
    if all(name.isdigit() for name in results):
        return f"a tuple of {len(results)} values"
    return f"a dict with the names {', '.join(results)}"


def _stopped(error, asked):
    """What is told of an error, with the student's line that raised it; `asked`: what was to be raised instead."""
    if error is None:
        return f"it goes on where it has to raise {type(asked).__name__}"
    if "a leaf Variable that requires grad is being used in an in-place" in str(error):
        return "it changes an input in place; work on a copy"
    line, own = error.__traceback__, ""
    while line:
        code = line.tb_frame.f_code
        if not any(part in code.co_filename for part in LIBRARIES):
            own = f" (in `{code.co_name}`, line {line.tb_lineno} of its cell)"
        line = line.tb_next
    if isinstance(error, TypeError) and "argument" in str(error) and not own:
        own = " (are its parameters still those of the notebook?)"
    instead = f", and {type(asked).__name__} is asked for" if asked else ""
    return f"it stopped with {': '.join(filter(None, [type(error).__name__, str(error)]))}{own}{instead}"
