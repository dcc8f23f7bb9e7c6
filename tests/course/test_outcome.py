"""What is told of answers that no task foresees: type, shape, NaN, gradient, errors."""

import numpy as np
import pytest
import torch

from minivl.course.check import verdict
from minivl.course.tasks import TASKS

CAUSAL, JOINT, NCE = TASKS["causal_mask"], TASKS["joint_similarity"], TASKS["mil_nce"]
FRAMES, RECALL = TASKS["sample_frames"], TASKS["recall_at_k"]


def told(task, change):
    """The message on the reference, changed by a function of its result."""
    right, message, mistake = verdict(task, lambda **inputs: change(task.reference(**inputs)))
    assert not right and not mistake, message
    return message


@pytest.mark.parametrize(
    "task, change, message",
    [
        (NCE, lambda result: None, "the result is None: is there a `return`?"),
        (NCE, lambda result: result.item(), "the result is a number where a tensor is meant"),
        (JOINT, lambda result: result.tolist(), "the result is a list where a tensor is meant"),
        (JOINT, lambda result: result.detach().numpy(), "the result is a ndarray where a tensor is meant"),
        (JOINT, lambda result: result[None], "has shape (1, 2, 3), and (2, 3) is asked for"),
        (CAUSAL, lambda result: result.float(), "holds floating-point numbers, and truth values are asked for"),
        (FRAMES, lambda result: np.array(result), "the result is a ndarray where a list is meant"),
        (FRAMES, lambda result: [torch.tensor(i) for i in result], "result[0] is a tensor where a number is meant"),
        (FRAMES, lambda result: [i + 1 for i in result], "result[0] is 1, which is not right"),
        (RECALL, lambda result: torch.tensor(result), "the result is a tensor where a number is meant"),
        (RECALL, lambda result: (result, 1), "it returns the 2 values 0, 1, and one value are asked for"),
        (JOINT, lambda result: 3 * result, "all values are the right ones times the same number"),
        (JOINT, lambda result: result + 1, "which is too large"),
        (JOINT, lambda result: result / 0, "look for a division by 0"),
        (JOINT, lambda result: result.detach(), "no gradient can reach the inputs: .item(), .detach()"),
        (JOINT, lambda result: torch.tensor(result.tolist()), "no gradient can reach the inputs"),
    ],
)
def test_what_is_wrong_with_a_result(task, change, message):
    assert message in told(task, change)


def test_numbers_of_numpy_and_whole_numbers_are_numbers():
    assert verdict(FRAMES, lambda **inputs: list(map(np.int64, FRAMES.reference(**inputs)))).right
    assert verdict(RECALL, lambda **inputs: np.float64(RECALL.reference(**inputs))).right


def test_a_gradient_that_reaches_one_input_alone():
    def answer(text, text_mask, video, video_mask):
        return JOINT.reference(text, text_mask, video.detach(), video_mask)

    assert "the result is right, but no gradient reaches `video`" in verdict(JOINT, answer).message


def test_an_input_that_is_changed():
    def answer(mask):
        mask += 1
        return CAUSAL.reference(mask - 1)

    assert "it changes its input `mask` in place" in verdict(CAUSAL, answer).message


def test_an_error_is_told_with_the_student_s_line():
    def answer(similarity, clips_per_video):
        loss = similarity.mean()
        return helper(loss)

    def helper(loss):
        return loss @ loss

    message = verdict(NCE, answer).message
    line = helper.__code__.co_firstlineno + 1
    assert "it stopped with RuntimeError" in message and f"(in `helper`, line {line} of its cell)" in message
    assert "unexpected keyword argument 'mask'" in verdict(CAUSAL, lambda m: m).message


def test_nothing_is_written_to_stderr(capfd):
    """nbgrader takes it for a failed test."""
    import warnings

    def answer(mask):
        warnings.warn("slow", stacklevel=1)
        return CAUSAL.reference(mask)

    assert verdict(CAUSAL, answer).right
    assert capfd.readouterr().err == ""
