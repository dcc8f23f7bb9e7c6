"""A task of the course: what a student writes, the package's own answer, cases to try both on, and usual mistakes.

A task is its reference, a function with the student's signature and docstring, and is built up around it:

    @task(points=2)
    def causal_mask(mask: Tensor) -> Tensor:
        "What the student reads."
        return ...                                  # the package's own function

    @causal_mask.set_cases
    def _cases(draw):
        yield "three words", {"mask": torch.ones(1, 3)}

    @causal_mask.mistake("A word sees the words after it: ...")
    def _no_order(mask):
        return ...                                  # what this mistake computes

A mistake is recognised by what it computes: a student whose function gives the same in every case gets its hint.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from minivl.course.outcome import Outcome, outcome_of
from minivl.course.recorded import recorded_of


class Draw:
    """Random inputs of cases: the same for the same seed."""

    def __init__(self, seed: int):
        self.generator = torch.Generator().manual_seed(seed)

    def __call__(self, *shape: int) -> Tensor:
        """Numbers from N(0, 1)."""
        return torch.randn(shape, generator=self.generator)

    def uniform(self, *shape: int) -> Tensor:
        """Numbers from 0 to 1."""
        return torch.rand(shape, generator=self.generator)

    def integers(self, low: int, high: int, *shape: int) -> Tensor:
        """Whole numbers from low to high - 1."""
        return torch.randint(low, high, shape, generator=self.generator)


Cases = Callable[[Draw], Iterator[tuple[str, dict[str, Any]]]]


@dataclass(frozen=True)
class Mistake:
    """A usual wrong answer, and the hint for those who give it."""

    name: str
    hint: str
    function: Callable


@dataclass(frozen=True)
class Case:
    """Inputs that a task is tried on. `about` says what is special about them."""

    about: str
    inputs: dict[str, Any]
    recorded: Any = None  # the released code's result for these inputs, where there is one


@dataclass
class Task:
    """One function or small module that a student writes. `call` applies it to the inputs of a case."""

    name: str
    points: int
    reference: Callable
    gradients: bool
    call: Callable[..., Any]
    _cases: list[Cases] = field(default_factory=list)
    mistakes: list[Mistake] = field(default_factory=list)

    def set_cases(self, cases: Cases) -> Cases:
        """Decorate a generator of (what is special, inputs), which gets a `Draw`."""
        self._cases.append(cases)
        return cases

    def mistake(self, hint: str) -> Callable:
        """Decorate a usual wrong answer, with the hint for it."""

        def add(function: Callable) -> Callable:
            self.add_mistake(function.__name__.strip("_"), hint, function)
            return function

        return add

    def add_mistake(self, name: str, hint: str, function: Callable) -> None:
        """The same for a wrong answer that is a variation of another function."""
        self.mistakes.append(Mistake(name, hint, function))

    def cases(self, seed: int = 0) -> list[Case]:
        """The cases, from simple to special; another seed gives other numbers."""
        draw = Draw(seed)
        made = [Case(about, inputs) for cases in self._cases for about, inputs in cases(draw)]
        recorded = recorded_of(self.name)
        return made + ([Case("values recorded from the released code", *recorded)] if recorded else [])

    def expected(self, case: Case) -> Outcome:
        """What a right answer gives: the reference's outcome, with the recorded result where there is one."""
        right = self.outcome(self.reference, case)
        return right if case.recorded is None else right.with_result(case.recorded)

    def outcome(self, function: Callable, case: Case) -> Outcome:
        """What a function does with the inputs of a case: its result, gradients, or error."""
        return outcome_of(lambda **inputs: self.call(function, **inputs), case.inputs, self.gradients)


def task(
    points: int, gradients: bool = False, call: Callable[..., Any] = lambda function, **inputs: function(**inputs)
) -> Callable[[Callable], Task]:
    """Decorate the reference of a task: see the module's docstring.

    gradients   also compare the gradients of all inputs of floating point
    call        how an answer is used on the inputs of a case, for answers that are not plain functions
    """
    return lambda reference: Task(reference.__name__.strip("_"), points, reference, gradients, call)
