"""MNIST-style files as others name and fill them: pairs, splits, types of values."""

import gzip
import struct

import numpy as np
import pytest
from table_makers import codes, contents, errors, labels, opened, said, splits, write

from aigc_core.errors import SourceError
from aigc_core.modalities import image


def idx(array, code=8, *, magic=None, extra=b""):
    array = np.asarray(array)
    kind = {8: ">u1", 9: ">i1", 11: ">i2", 12: ">i4", 13: ">f4"}[code]
    head = magic or struct.pack(">HBB", 0, code, array.ndim)
    return head + struct.pack(f">{array.ndim}I", *array.shape) + array.astype(kind).tobytes() + extra


def grey(seed=0, count=4):
    return np.random.default_rng(seed).integers(0, 256, (count, 6, 5), dtype=np.uint8)


FOUR = np.arange(4)


class TestIdx:
    @pytest.mark.parametrize(
        "pattern",
        ["my_{split}_{what}.{form}", "emnist-letters-{split}-{what}-{form}-ubyte", "{split}/{what}.{form}", "{what}/{split}-{form}",
         "{split}-{what}.{form}-ubyte", "{split}-{what}-{form}-ubyte/{split}-{what}-{form}-ubyte", "{split}{what}.{form}"],
    )  # fmt: skip
    def test_pairs_and_splits_by_words_anywhere(self, make, pattern):
        files = {}
        for seed, split in enumerate(("train", "test")):
            what = {"images": "Images", "labels": "Labels"} if "{split}{what}" in pattern else {}
            for kind, form, values in (("images", "idx3", grey(seed)), ("labels", "idx1", FOUR + 4 * seed)):
                files[pattern.format(split=split, what=what.get(kind, kind), form=form)] = idx(values)
        source = opened("idx", write(make, files))
        assert sorted((entry.split, entry.label) for entry in source.entries) == [
            *(("test", str(number)) for number in range(4, 8)),
            *(("train", str(number)) for number in range(4)),
        ]
        assert set(codes(source)) <= {"images_transposed"}

    def test_qmnist(self, make):
        numbers = np.stack([FOUR, *[FOUR + 50] * 7], axis=1)
        files = {
            "qmnist-test-images-idx3-ubyte": idx(grey()),
            "qmnist-test-labels-idx2-int.gz": gzip.compress(idx(numbers, 12)),
        }
        source = opened("idx", write(make, files))
        assert [(entry.split, entry.label) for entry in source.entries] == [("test", str(i)) for i in range(4)]
        assert codes(source) == {"label_numbers_not_used": 1, "nothing_to_learn_from": 4}

    @pytest.mark.parametrize("values", [np.eye(4), np.zeros((4, 6, 5))])
    def test_labels_that_are_no_classes(self, make, values):
        files = {"a-images-idx3-ubyte": idx(grey()), "a-labels-ubyte": idx(values)}
        source = opened("idx", write(make, files))
        assert labels(source) == [None] * 4
        assert codes(source) == {"labels_not_usable": 1}

    @pytest.mark.parametrize(
        ("values", "code", "expected"),
        [
            (FOUR * 1000, 12, ["0", "1000", "2000", "3000"]),
            ([0, 1, 0.5, np.nan], 13, ["0", "1", "0.5", None]),
            ([[3], [2], [1], [0]], 8, ["3", "2", "1", "0"]),
        ],
    )
    def test_labels_of_other_types(self, make, values, code, expected):
        source = opened("idx", write(make, {"images-idx3": idx(grey()), "labels-idx1": idx(values, code)}))
        assert labels(source) == expected

    def test_files_without_the_other(self, make):
        files = {"train-images-idx3-ubyte": idx(grey()), "train-labels-idx1-ubyte": idx(FOUR)}
        files |= {"more-labels-idx1-ubyte": idx(FOUR), "test-images-idx3-ubyte": idx(grey(1))}
        source = opened("idx", write(make, files))
        assert codes(source) == {"labels_without_images": 1, "images_without_labels": 1}
        assert "more-labels-idx1-ubyte" in said(source, "labels_without_images")
        assert "test-images-idx3-ubyte" in said(source, "images_without_labels")

    def test_two_words_for_one_split(self, make):
        files = {"val-images-idx3": idx(grey()), "validation-labels-idx1": idx(FOUR)}
        assert labels(opened("idx", write(make, files))) == ["0", "1", "2", "3"]

    @pytest.mark.parametrize(
        ("train", "test"),
        [
            ("trainset", "testset"),
            ("trainSet", "valSet"),
            ("train2017", "hold_out2017"),
            ("MNISTTrain", "MNISTTest"),
            ("trn", "tst"),
            ("training", "unseen"),
            ("trainval", "query"),
        ],
    )
    @pytest.mark.parametrize(
        "pattern", ["{split}-{what}-idx{n}-ubyte", "{split}/{what}.idx{n}", "{what}_{split}.idx{n}"]
    )
    def test_spellings_of_splits(self, make, pattern, train, test):
        files = {}
        for seed, split in enumerate((train, test)):
            files[pattern.format(split=split, what="images", n=3)] = idx(grey(seed))
            files[pattern.format(split=split, what="labels", n=1)] = idx(FOUR + 4 * seed)
        source = opened("idx", write(make, files))
        assert {(entry.split, entry.label) for entry in source.entries} == {
            *(("train", str(number)) for number in range(4)),
            *(("test", str(number)) for number in range(4, 8)),
        }
        assert codes(source) == {}

    def test_two_spellings_of_one_split_pair(self, make):
        files = {"trainset-images-idx3": idx(grey()), "train-labels-idx1": idx(FOUR)}
        files |= {"testimages.idx3": idx(grey(1)), "held-out-labels.idx1": idx(FOUR + 4)}
        source = opened("idx", write(make, files))
        assert sorted((entry.split, entry.label) for entry in source.entries) == [
            *(("test", str(number)) for number in range(4, 8)),
            *(("train", str(number)) for number in range(4)),
        ]
        assert codes(source) == {}

    def test_sets_in_other_letters_keep_their_own_labels(self, make):
        files = {}
        for seed, name in enumerate(("котики", "птицы")):
            files |= {f"{name}-images-idx3": idx(grey(seed)), f"{name}-labels-idx1": idx(FOUR + 4 * seed)}
        assert labels(opened("idx", write(make, files))) == [str(number) for number in range(8)]

    def test_channels_last_and_first(self, make):
        colour = np.stack([make.pixels(number, 6) for number in range(4)])
        for stored, found in ((colour, {}), (colour.transpose(0, 3, 1, 2), {"channels_first": 1})):
            source = opened("idx", write(make, {"images-idx4-ubyte": idx(stored), "labels-idx1-ubyte": idx(FOUR)}))
            for content, expected in zip(contents(source), colour, strict=True):
                np.testing.assert_array_equal(image.decode(content).pixels, expected)
            assert codes(source) == found

    def test_numbers_wider_than_bytes(self, make):
        wide = grey().astype(int)
        wide[3, 0, 0] = 256
        source = opened("idx", write(make, {"images-idx3-short": idx(wide, 11), "labels-idx1": idx(FOUR)}))
        np.testing.assert_array_equal(image.decode(contents(source)[0]).pixels[..., 0], wide[0])
        assert [error is None for error in errors(source)] == [True, True, True, False]
        assert codes(source) == {"wide_pixels": 1}
        with pytest.raises(SourceError, match="not one image can be read"):
            opened("idx", write(make, {"images-idx3-short": idx(wide + 256, 11)}))

    @pytest.mark.parametrize(
        ("content", "why"),
        [
            (idx(grey() / 255.0, 13), "floats of 32 bits"),
            (idx(grey(), magic=b"\3\x08\0\0"), "not an idx file"),
            (idx(np.zeros((4, 30))), "need"),
            (idx(np.zeros((4, 6, 5, 5))), "4 x 6 x 5 x 5.*1, 3 or 4 channels"),
            (b"version https://git-lfs.github.com/spec/v1\noid", "git lfs pull"),
            (b"<!DOCTYPE html><title>", "web page"),
            (idx(grey())[:-1], "ends too early"),
            (b"\0\0", "not an idx file"),
        ],
    )
    def test_files_that_are_refused(self, make, content, why):
        with pytest.raises(SourceError, match=why):
            opened("idx", write(make, {"train-images-idx3-ubyte": content}))

    def test_other_files_are_counted_and_named(self, make):
        files = {"images-idx3": idx(grey()), "labels-idx1": idx(FOUR), "class_labels.txt": b"a", "README.md": b"a"}
        source = opened("idx", write(make, files))
        assert source.skipped == {".md": 1}
        assert codes(source) == {"files_not_idx": 1}

    def test_more_bytes_than_the_header_says(self, make):
        files = {"images-idx3": idx(grey(), extra=bytes(30)), "labels-idx1": idx(FOUR)}
        assert codes(opened("idx", write(make, files))) == {"bytes_left_over": 1}

    def test_a_file_without_images_beside_others(self, make):
        files = {
            "train-images-idx3": idx(grey()),
            "train-labels-idx1": idx(FOUR),
            "test-images-idx3": idx(np.zeros((0, 6, 5))),
        }
        source = opened("idx", write(make, files))
        assert len(source.entries) == 4
        assert codes(source) == {"tables_without_rows": 1}

    def test_the_same_file_in_a_folder_is_read_once(self, make):
        files = {
            "train-images-idx3-ubyte": idx(grey()),
            "train-labels-idx1-ubyte": idx(FOUR),
            "test-images-idx3-ubyte": idx(grey()),
        }
        nested = {f"{name}/{name}": content for name, content in list(files.items())[:2]}
        moved = {name.replace("-idx", ".idx"): content for name, content in files.items()}
        source = opened("idx", write(make, {**nested, **moved}))
        assert splits(source) == {"train-images.idx3-ubyte": "train", "test-images.idx3-ubyte": "test"}
        assert source.skipped == {"copies of another file": 2}
        assert codes(source) == {"images_without_labels": 1}

    def test_emnist_is_read_as_it_is_and_two_sets_are_named(self, make):
        files = {}
        for seed, name in enumerate(("emnist-letters-train", "emnist-digits-train")):
            files[f"{name}-images-idx3-ubyte"] = idx(grey(seed))
            files[f"{name}-labels-idx1-ubyte"] = idx(FOUR)
        source = opened("idx", write(make, files))
        np.testing.assert_array_equal(image.decode(contents(source)[4]).pixels[..., 0], grey(0)[0])
        assert codes(source) == {"images_transposed": 2, "labels_of_several_sets": 2}

    def test_one_file_takes_the_labels_beside_it(self, make):
        files = {
            "train-images-idx3-ubyte": idx(grey()),
            "train-labels-idx1-ubyte": idx(FOUR),
            "test-labels-idx1-ubyte": b"x",
        }
        source = opened("idx", write(make, files) / "train-images-idx3-ubyte")
        assert labels(source) == ["0", "1", "2", "3"]
        assert codes(source) == {}
