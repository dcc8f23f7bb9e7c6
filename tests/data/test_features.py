"""Features from disk: the right rows of the right video, and one clear error for everything else."""

import re

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from minivl.data.features import FeatureError, FeatureReader, check_reference, clip_features, load_features, row_window

ROWS = np.arange(20, dtype=np.float32).reshape(10, 2)  # row t is (2t, 2t + 1)


@pytest.fixture
def save(tmp_path):
    """A function that writes tensors into one safetensors file and gives back the reference of the first."""

    def write(**tensors):
        path = tmp_path / "all.safetensors"
        save_file({name: torch.as_tensor(values).clone() for name, values in tensors.items()}, path)
        return f"{path}::{next(iter(tensors))}"

    return write


@pytest.fixture
def save_npy(tmp_path):
    def write(values, **options):
        np.save(tmp_path / "a.npy", values, **options)
        return str(tmp_path / "a.npy")

    return write


def test_features_come_as_float32_from_both_kinds_of_files(save, save_npy):
    for values in (ROWS, ROWS.astype(np.float16), ROWS.astype(np.float64), ROWS.astype(np.int64)):
        for loaded in (load_features(save_npy(values)), load_features(save(one=values, two=-values))):
            assert loaded.dtype == np.float32 and np.array_equal(loaded, ROWS)
    assert np.array_equal(load_features(save(one=torch.as_tensor(ROWS).bfloat16())), ROWS)
    name = save(one=ROWS, two=-ROWS).replace("::one", "::two")
    assert np.array_equal(load_features(name), -ROWS)


def test_a_file_that_was_written_again_is_read_again(save):
    assert load_features(save(one=ROWS))[0, 1] == 1
    assert load_features(save(one=ROWS + 1, two=ROWS))[0, 1] == 2


@pytest.mark.parametrize(
    "values, message",
    [
        (np.zeros(4), r"has shape \(4,\): expected \(T, F\)"),
        (np.zeros((2, 3, 4)), r"has shape \(2, 3, 4\)"),
        (np.zeros((0, 4)), r"has shape \(0, 4\): expected \(T, F\), one or more rows"),
        (np.where(np.arange(20).reshape(10, 2) == 7, np.nan, 0), "NaN or infinite number in row 3"),
        (np.where(np.arange(20).reshape(10, 2) == 18, np.inf, 0), "NaN or infinite number in row 9"),
    ],
)
def test_what_is_not_a_matrix_of_numbers_is_refused(save, save_npy, values, message):
    for reference in (save_npy(values), save(one=values)):
        with pytest.raises(FeatureError, match=re.escape(reference) + " has.*" + message.removeprefix("has ")):
            load_features(reference)


def test_numbers_too_large_for_float32_are_refused(save_npy):
    with np.errstate(over="ignore"), pytest.raises(FeatureError, match="NaN or infinite"):
        load_features(save_npy(np.full((2, 2), 1e300)))


def test_another_number_of_features_per_row(save):
    assert load_features(save(one=ROWS), size=2).shape == (10, 2)
    with pytest.raises(FeatureError, match="::one has 2 numbers per row and 1024 are expected: .*another model"):
        load_features(save(one=ROWS), size=1024)


def test_nothing_is_unpickled(save_npy, tmp_path):
    class Bomb:
        def __reduce__(self):
            return (open, (str(tmp_path / "exploded"), "w"))

    reference = save_npy(np.array([Bomb()], dtype=object), allow_pickle=True)
    with pytest.raises(FeatureError, match="a.npy cannot be read as a .npy file of numbers .*numpy.save"):
        load_features(reference)
    assert not (tmp_path / "exploded").exists()


def test_missing_and_damaged_files(save, save_npy, tmp_path):
    with pytest.raises(FeatureError, match="b.npy cannot be read: there is no file"):
        load_features(tmp_path / "b.npy")
    with pytest.raises(FeatureError, match="there is no file .*none.safetensors"):
        load_features(f"{tmp_path}/none.safetensors::one")
    with pytest.raises(FeatureError, match="::three is not there: .* holds 2 tensors, none of them named 'three'"):
        load_features(save(one=ROWS, two=ROWS).replace("::one", "::three"))
    whole = (tmp_path / "all.safetensors").read_bytes()
    for damaged in (b"", b"no features", whole[:-3], whole[:20]):
        (tmp_path / "all.safetensors").write_bytes(damaged)
        with pytest.raises(FeatureError, match="all.safetensors is not a readable safetensors file"):
            load_features(f"{tmp_path}/all.safetensors::one")
    npy = save_npy(ROWS)
    whole = (tmp_path / "a.npy").read_bytes()
    for damaged in (b"", b"no features", whole[:-3], whole[:20]):
        (tmp_path / "a.npy").write_bytes(damaged)
        with pytest.raises(FeatureError, match="cannot be read as a .npy file"):
            load_features(npy)


def test_words_and_archives_are_not_features(save_npy, tmp_path):
    with pytest.raises(FeatureError, match="holds <U3, not one array of numbers"):
        load_features(save_npy(np.array([["one"]])))
    np.savez(tmp_path / "several.npz", a=ROWS)
    (tmp_path / "several.npz").rename(tmp_path / "several.npy")
    with pytest.raises(FeatureError, match="holds several arrays"):
        load_features(tmp_path / "several.npy")


def test_references_are_checked_without_reading_features(save, save_npy):
    check_reference(save(one=np.zeros(3)))  # not a matrix, but nothing is read
    check_reference(save_npy(ROWS))
    with pytest.raises(FeatureError, match="none of them named 'two'"):
        check_reference(save(one=ROWS).replace("::one", "::two"))


def test_a_reader_keeps_what_it_read(save_npy, tmp_path):
    reference = save_npy(ROWS)
    keeps, forgets = FeatureReader(keep=True), FeatureReader(size=2)
    assert np.array_equal(keeps(reference), ROWS) and np.array_equal(forgets(reference), ROWS)
    (tmp_path / "a.npy").unlink()
    assert np.array_equal(keeps(reference), ROWS)
    with pytest.raises(FeatureError, match="no file"):
        forgets(reference)
    with pytest.raises(FeatureError, match="3 are expected"):
        FeatureReader(size=3, keep=True)(save_npy(ROWS))


@pytest.mark.parametrize(
    "rate, start, end, first, count",
    [
        (1, 2.0, 4.0, 2, 3),
        (1, 2.9, 4.9, 2, 3),
        (1, 2.9, 3.0, 2, 2),
        (1, 0.0, 0.5, 0, 1),
        (2, 1.6, 2.4, 3, 2),
        (0.5, 3.0, 9.0, 1, 4),
        (1, 8.0, 30.0, 8, 2),
        (1, 0.0, 100.0, 0, 5),
        (1, 5.0, 2.0, 3, 2),
        (1, 10.0, 12.0, 0, 0),
        (1, None, None, 0, 5),
    ],
)
def test_a_clip_has_the_rows_from_its_start_to_its_end(rate, start, end, first, count):
    video, mask = clip_features(ROWS, rate, start, end, max_frames=5)
    assert video.dtype == np.float32 and video.shape == (5, 2) and mask.dtype == np.int64
    assert np.array_equal(video[:count], ROWS[first : first + count]) and not video[count:].any()
    assert mask.tolist() == [1] * count + [0] * (5 - count)


def test_a_window_before_the_video_does_not_wrap_to_its_end():
    assert row_window(1, -4.0, -2.0) == (0, 0) and row_window(1, -4.0, 1.0) == (0, 2)
