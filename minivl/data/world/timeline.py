"""Puts the steps of a meal on a clock and renders the clip."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from minivl.config import WorldConfig
from minivl.data.world.meals import Meal, Step
from minivl.data.world.render import Stage, draw_frame


@dataclass(frozen=True)
class Moment:
    """A segment of video: one step, or nothing in particular (`step` is None). Seconds."""

    step: Step | None
    start: float
    end: float


def _interleave(meal: Meal, rng: np.random.Generator) -> list[Step]:
    """All steps in a random order that respects the order within each dish."""
    queues = [[Step(verb, dish) for verb in dish.verbs()] for dish in meal.dishes]
    order = []
    while any(queues):
        waiting = [q for q in queues if q]
        lengths = np.array([len(q) for q in waiting])
        order.append(waiting[rng.choice(len(waiting), p=lengths / lengths.sum())].pop(0))
    return order


def schedule(meal: Meal, config: WorldConfig, rng: np.random.Generator) -> list[Moment]:
    """The moments of one clip, from second 0 without gaps."""
    shortest, longest = config.step_seconds
    moments, clock = [], 0.0
    for step in _interleave(meal, rng):
        if rng.random() < config.filler / len(meal.dishes) / 3:
            moments.append(Moment(None, clock, clock := clock + rng.uniform(0.5, 0.8) * shortest))
        length = rng.uniform(shortest, longest) * (0.5 if step.verb == "slice" else 1.0)
        moments.append(Moment(step, clock, clock := clock + length))
    return moments


def moment_at(moments: list[Moment], second: float) -> Moment:
    """The moment at a given second; the last moment for anything later."""
    return next((m for m in moments if second < m.end), moments[-1])


def frame_count(moments: list[Moment], fps: float) -> int:
    return max(1, round(moments[-1].end * fps))


def frames(moments: list[Moment], config: WorldConfig, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """The pictures of the clip, one at a time, uint8 (size, size, 3)."""
    stage = Stage.draw(rng, config.clutter)
    for i in range(frame_count(moments, config.fps)):
        second = i / config.fps
        moment = moment_at(moments, second)
        progress = min(1.0, (second - moment.start) / (moment.end - moment.start))
        yield draw_frame(stage, moment.step, progress, rng, config.image_size, config.style)
