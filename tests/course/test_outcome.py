"""What is told of answers that no task foresees: type, shape, NaN, gradient, errors."""

import numpy as np
import pytest
import torch

from minivl.course.check import verdict
from minivl.course.tasks import TASKS

CAUSAL, JOINT, NCE = TASKS["causal_mask"], TASKS["joint_similarity"], TASKS["mil_nce"]
FRAMES, RECALL = TASKS["sample_frames"], TASKS["recall_at_k"]
CLIPS, ENDED, HAND_OVER = TASKS["collate_clips"], TASKS["search_ended"], TASKS["hand_over"]


def told(task, change):
    """The message on the reference, changed by a function of its result."""
    found = verdict(task, lambda **inputs: change(task.reference(**inputs)))
    assert not found.right and not found.mistake, found.message
    return found.message


@pytest.mark.parametrize(
    "task, change, message",
    [
        (NCE, lambda result: None, "the result is None: is there a `return`?"),
        (NCE, lambda result: result.item(), "the result is a number where a tensor is meant"),
        (JOINT, lambda result: result.tolist(), "the result is a list where a tensor is meant"),
        (JOINT, lambda result: result.detach().numpy(), "the result is a numpy array where a tensor is meant"),
        (JOINT, lambda result: result[None], "has shape (1, 2, 3), and (2, 3) is asked for"),
        (CAUSAL, lambda result: result.float(), "holds floating-point numbers, and truth values are asked for"),
        (FRAMES, lambda result: np.array(result), "the result is a numpy array where a list is meant: .tolist()"),
        (FRAMES, lambda result: [torch.tensor(i) for i in result], "result[0] is a tensor where a number is meant"),
        (FRAMES, lambda result: [i + 1 for i in result], "result[0] is 1, which is not right"),
        (RECALL, lambda result: torch.tensor(result), "a tensor where a number is meant: .item() makes one"),
        (RECALL, lambda result: (result, 1), "it returns a tuple of 2 values, and one number is asked for"),
        (NCE, lambda result: result[None], "has shape (1,), and () is asked for, a scalar"),
        (CLIPS, list, "it returns one list, and a tuple of 2 values is asked for"),
        (CLIPS, lambda result: None, "it returns None, and a tuple of 2 values is asked for: is there a `return`?"),
        (CLIPS, lambda result: {"video": result[0]}, "it returns a dict with the names video, and a tuple of 2 values"),
        (CLIPS, lambda result: (result[0].long(), result[1]), "result[0] holds whole numbers, and floating-point"),
        (ENDED, lambda result: torch.tensor(result), "is a tensor where a truth value is meant: bool(...) makes one"),
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
    assert verdict(ENDED, lambda **inputs: np.bool_(ENDED.reference(**inputs))).right


def test_a_gradient_that_reaches_one_input_alone():
    def answer(text, text_mask, video, video_mask):
        return JOINT.reference(text, text_mask, video.detach(), video_mask)

    assert "the result is right, but no gradient reaches `video`" in verdict(JOINT, answer).message


def test_an_input_that_is_changed():
    def answer(mask):
        mask += 1
        return CAUSAL.reference(mask - 1)

    assert "it changes its input `mask` in place" in verdict(CAUSAL, answer).message


def test_an_input_that_is_changed_where_a_gradient_is_wanted():
    def answer(similarity, clips_per_video):
        similarity -= similarity.max()
        return NCE.reference(similarity, clips_per_video)

    assert "it changes an input in place; work on a copy" in verdict(NCE, answer).message


def test_lists_and_dicts_that_are_changed():
    def shortened(videos, max_frames):
        for video in videos:
            video[0] = video[0][:max_frames]
        return CLIPS.reference(videos, max_frames)

    def updated(stage_one, stage_two, new):
        HAND_OVER.reference(stage_one, stage_two, new)
        stage_two.update(stage_one)
        return stage_two

    assert "it changes its input `videos` in place" in verdict(CLIPS, shortened).message
    assert "it changes its input `stage_two` in place" in verdict(HAND_OVER, updated).message


def test_another_error_than_the_one_that_is_asked_for():
    def answer(stage_one, stage_two, new):
        return {name: own if name.startswith(new) else stage_one[name] for name, own in stage_two.items()}

    told = verdict(HAND_OVER, answer).message
    assert "it stopped with KeyError: 'video.project'" in told and "and ValueError is asked for" in told
    told = verdict(HAND_OVER, lambda stage_one, stage_two, new: {**stage_two, **stage_one}).message
    assert "it goes on where it has to raise ValueError" in told


def test_exit_is_no_end_of_a_check():
    def answer(mask):
        raise SystemExit

    assert "it stopped with SystemExit" in verdict(CAUSAL, answer).message


def test_an_error_is_told_with_the_student_s_line():
    def answer(similarity, clips_per_video):
        loss = similarity.mean()
        return helper(loss)

    def helper(loss):
        return loss @ loss

    message = verdict(NCE, answer).message
    line = helper.__code__.co_firstlineno + 1
    assert "it stopped with RuntimeError" in message and f"(in `helper`, line {line} of its cell)" in message
    told = verdict(CAUSAL, lambda m: m).message
    assert "unexpected keyword argument 'mask' (are its parameters still those of the notebook?)" in told


def test_nothing_is_written_to_stderr(capfd):
    """nbgrader takes it for a failed test."""
    import warnings

    def answer(mask):
        warnings.warn("slow", stacklevel=1)
        return CAUSAL.reference(mask)

    assert verdict(CAUSAL, answer).right
    assert capfd.readouterr().err == ""
