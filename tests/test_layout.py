"""Folders: which levels hold splits, which hold classes, and what is said where that is not clear."""

import unicodedata
from collections import Counter

import pytest
from opened import kept

from aigc_core.data.sources import open_source
from aigc_core.data.sources.layout import arrange
from aigc_core.data.sources.tally import Tally
from aigc_core.data.splits import split_name


def read(*folders, rows=3):
    """Label and split by folder, and the counts of what was told; "" is the source itself."""
    tally = Tally()
    places = arrange(Counter(dict.fromkeys(folders, rows)), tally)
    return places, {notice.code: notice.count for notice in tally.notices()}


def full_width(word):
    return "".join(chr(ord(letter) + 0xFEE0) for letter in word)


def with_classes(*folders):
    return [f"{folder}/{name}" for folder in folders for name in ("cat", "dog")]


PAIRS = [
    ("train", "val"), ("Train", "VALIDATION"), ("TRAIN", "TEST"), ("train", "dev"), ("train", "eval"), ("train", "holdout"),
    ("train", "hold_out"), ("train", "held-out"), ("train", "unseen"), ("development", "unseen"), ("dev", "test"),
    ("training_set", "test_set"), ("train_set", "valid_set"), ("trainset", "testset"), ("TrainSet", "TestSet"),
    ("train2017", "val2017"), ("seg_train", "seg_test"), ("train", "test1"), ("train-00", "test-00"),
    ("train-00000-of-00002", "test-00000-of-00001"), ("images_train", "images_val"), ("train (1)", "test (1)"),
    ("my_train", "my_test"), ("X_train", "X_test"), ("Training", "Testing"), ("trainval", "test"), ("train", "predictions"),
    ("bounding_box_train", "bounding_box_test"), ("train_val", "test"), ("testimages", "trainimages"),
    ("train", "t10k"), ("Train", "T10K-images"), ("MNISTTrain", "MNISTTest"), ("trainSet", "TESTset"), ("trn", "tst"),
]  # fmt: skip


@pytest.mark.parametrize(("first", "second"), PAIRS)
@pytest.mark.parametrize("around", ["", "mydata/", "set/images/"])
def test_splits_by_many_names(first, second, around):
    train, test = (second, first) if first == "testimages" else (first, second)
    places, told = read(*with_classes(f"{around}{train}", f"{around}{test}"))
    assert {path: place for path, place in places.items() if place != (path.rpartition("/")[2], None)} == {
        **{f"{around}{train}/{name}": (name, "train") for name in ("cat", "dog")},
        **{f"{around}{test}/{name}": (name, "test") for name in ("cat", "dog")},
    }
    assert told == {}


@pytest.mark.parametrize("held", ["val", "valid", "validation", "dev", "eval", "holdout", "test2", "unseen", "quiz"])
def test_what_stands_beside_train_with_the_same_classes_is_held_out(held):
    places, _ = read(*with_classes("train", held))
    assert {places[path] for path in with_classes(held)} == {("cat", "test"), ("dog", "test")}


def test_three_splits_and_development_beside_train():
    places, told = read(*with_classes("train", "development", "test"))
    assert places["development/cat"] == ("cat", "test")
    assert told == {}


@pytest.mark.parametrize(
    "classes",
    [("test", "cat"), ("valid", "invalid"), ("train", "car", "bus"), ("good", "bad"), ("dev", "prod"), tuple("0123456789"),
     ("train_station", "test_tube"), ("cat", "dog", "TestA"), ("cat", "train_station"), ("cat", "dog", "valid"), ("01", "1", "10"), ("probe", "gallery"),
     ("train", "test", *"abcdefghij")],
)  # fmt: skip
def test_classes_that_are_called_like_splits(classes):
    places, told = read(*classes)
    assert places == {name: (name, None) for name in classes}
    doubtful = [name for name in classes if split_name(name)]
    assert told == ({"split_or_class": len(doubtful)} if doubtful else {})


@pytest.mark.parametrize("inner", [("test", "cat"), ("train", "car"), ("train", "test", "valid")])
def test_classes_inside_splits_may_be_called_like_splits(inner):
    places, _ = read(*(f"{split}/{name}" for split in ("train", "test") for name in inner))
    assert places == {f"{split}/{name}": (name, split) for split in ("train", "test") for name in inner}


def test_class_first():
    places, told = read("cat/train", "cat/test", "dog/train", "dog/test", "owl/train", "owl/extra")
    assert places["cat/test"] == ("cat", "test")
    assert places["dog/train"] == ("dog", "train")
    assert places["owl/extra"] == ("owl", "train")
    assert told == {"beside_splits": 1}


def test_doubled_wrappers_and_rows_for_prediction():
    places, told = read(*with_classes("seg_train/seg_train", "seg_test/seg_test"), "seg_pred/seg_pred")
    assert places["seg_train/seg_train/cat"] == ("cat", "train")
    assert places["seg_test/seg_test/dog"] == ("dog", "test")
    assert places["seg_pred/seg_pred"] == (None, "test")
    assert told == {}


def test_a_copy_of_the_source_inside_itself_is_read_on_its_own():
    places, told = read(*with_classes("x/train", "x/test", "x/x/train", "x/x/test"))
    assert places["x/x/train/cat"] == ("cat", "train")
    assert places["x/x/test/dog"] == ("dog", "test")
    assert told == {"beside_splits": 1}


def test_splits_inside_a_training_folder():
    places, _ = read(*with_classes("trainval/train", "trainval/val", "test"))
    assert [places[f"{folder}/cat"] for folder in ("trainval/train", "trainval/val", "test")] == [
        ("cat", "train"),
        ("cat", "test"),
        ("cat", "test"),
    ]


@pytest.mark.parametrize(
    ("folders", "split", "told"),
    [
        (["images/train", "images/test"], "images/test", {}),
        (["train/images", "test/images"], "test/images", {"not_a_class": 2}),
        (["train/images", "test"], "test", {"not_a_class": 1}),
        (["train", "test", "images"], "images", {"beside_splits": 1}),
        (["mydata/train", "mydata/test"], "mydata/test", {"wrapping_folder": 1}),
    ],
)
def test_images_is_no_class(folders, split, told):
    places, counts = read(*folders)
    assert {label for label, _ in places.values()} == {None}
    assert places[split] == (None, "test")
    assert counts == told


def test_folders_beside_splits():
    places, told = read(*with_classes("train", "test"), "extra", "challenge/cat", "cat")
    assert places["extra"] == (None, "train")
    assert places["challenge/cat"] == ("cat", "test")
    assert places["cat"] == ("cat", None)
    assert told == {"beside_splits": 3}


@pytest.mark.parametrize(
    ("held", "path"), [(["test/cat", "test/dog"], "test/cat"), (["holdout"], "holdout"), (["test_set"], "test_set")]
)
def test_classes_beside_what_is_surely_held_out_are_training_rows(held, path):
    places, told = read(*held, "cat", "dog")
    assert places["cat"] == ("cat", "train")
    assert places[path] == ("cat" if "/" in path else None, "test")
    assert told == {"beside_splits": 2}


@pytest.mark.parametrize(
    ("folders", "held", "label"),
    [
        (["cat", "cat/holdout", "dog"], "cat/holdout", "cat"),
        (["train/cat", "train/cat/test", "test/cat"], "train/cat/test", "cat"),
        (["train/cat", "train/dog", "train/val", "test/cat"], "train/val", None),
        (["test/train/cat", "train/cat"], "test/train/cat", "train"),
    ],
)
def test_what_is_held_out_inside_other_folders(folders, held, label):
    places, _ = read(*folders)
    assert places[held] == (label, "test")
    assert places[folders[0]][1] != "test" or folders[0] == held


@pytest.mark.parametrize(
    ("held", "label"),
    [("cat_test", "cat"), ("test_cat", "cat"), ("cat-Holdout", "cat"), ("dog_val", "dog"), ("CAT_TEST", "cat"),
     ("test_set_cat", "cat"), ("owl_val", None), ("my_test_images", None), ("hidden_test_set", None), ("private_test", None)],
)  # fmt: skip
def test_further_words_beside_classes_hold_out(held, label):
    places, told = read("cat", "dog", held)
    assert places == {"cat": ("cat", "train"), "dog": ("dog", "train"), held: (label, "test")}
    assert told["beside_splits"] == 2
    surely = label or held == "owl_val"
    assert told.get("held_out_by_name", 0) == int(bool(surely))


def test_held_out_parts_of_classes_that_differ_in_numbers_form_and_folders():
    places, told = read("class1", "class2", "class2_test", "cafe\u0301", "café test", "owl/a", "owl_test/b")
    assert places["class2_test"] == ("class2", "test")
    assert places["café test"] == ("café", "test")
    assert places["owl/a"] == ("owl", "train")
    assert places["owl_test/b"] == ("owl", "test")
    assert told["held_out_by_name"] == 3


def test_folders_inside_what_is_held_out_by_further_words_are_classes():
    places, _ = read("cat", "dog", *with_classes("final_val"))
    assert places["final_val/dog"] == ("dog", "test")


@pytest.mark.parametrize(
    ("folders", "held", "label"),
    [
        (["train/cat", "train/cat_test", "test/cat"], "train/cat_test", "cat"),
        (["train/cat", "train/owl_val", "test/cat"], "train/owl_val", None),
        (["cat", "cat/cat_test", "dog"], "cat/cat_test", "cat"),
    ],
)
def test_further_words_inside_other_folders_hold_out(folders, held, label):
    places, told = read(*folders)
    assert places[held] == (label, "test")
    assert places[folders[0]][1] != "test"
    assert told["beside_splits"] == 1


@pytest.mark.parametrize("folders", [["coco_val/cat", "coco_val/dog"], ["cat_val", "dog_val"]])
def test_where_all_names_have_further_words_nothing_is_held_out(folders):
    places, _ = read(*folders)
    assert {split for _, split in places.values()} == {None}


@pytest.mark.parametrize(
    ("other", "place"),
    [
        ("Testbilder", (None, "test")),
        ("Testbilder/x", ("x", "test")),
        ("extra", (None, "train")),
        ("masks", (None, "test")),
    ],
)
def test_a_folder_beside_train_alone(other, place):
    places, told = read(*with_classes("train"), other)
    assert places["train/cat"] == ("cat", "train")
    assert places[other] == place
    assert told["beside_splits"] == 1


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("public_train", "private_test"),
        ("lung_train", "heart_test"),
        ("train_station", "test_tube"),
        (full_width("train"), full_width("test")),
    ],
)
def test_a_word_for_each_kind_of_split_and_nothing_beside(train, test):
    places, _ = read(*with_classes(train, test))
    assert places[f"{train}/cat"] == ("cat", "train")
    assert places[f"{test}/dog"] == ("dog", "test")


def test_flat_splits_with_different_further_words_name_classes():
    places, told = read("lung_train", "heart_test")
    assert places == {"lung_train": ("lung", "train"), "heart_test": ("heart", "test")}
    assert told == {"class_in_split_name": 2}


@pytest.mark.parametrize(
    ("folders", "count"),
    [
        (with_classes("Trainingsdaten", "Testdaten"), 2),
        (with_classes("训练集", "测试集"), 2),
        (["a/part1", "b/part1"], 0),
        (["a/x", "b/y"], 0),
        ([f"{name}/x" for name in "abcde"], 0),
    ],
)
def test_splits_in_words_that_are_not_known_are_told(folders, count):
    places, told = read(*folders)
    assert {split for _, split in places.values()} == {None}
    assert told.get("maybe_splits", 0) == count


def test_classes_in_the_names_of_splits():
    places, told = read("trainA", "trainB", "testA", "testB")
    assert places == {
        "trainA": ("A", "train"),
        "trainB": ("B", "train"),
        "testA": ("A", "test"),
        "testB": ("B", "test"),
    }
    assert told == {"class_in_split_name": 4}


@pytest.mark.parametrize(("other", "label"), [("cat", "cat"), ("images", None)])
def test_one_folder_beside_what_is_surely_held_out(other, label):
    places, _ = read(other, "holdout")
    assert places == {other: (label, "train"), "holdout": (None, "test")}


@pytest.mark.parametrize("folders", [["test"], ["test/cat", "val/cat"]])
def test_a_source_that_is_all_held_out_stays_so_and_says_it(folders):
    places, told = read(*folders)
    assert {split for _, split in places.values()} == {"test"}
    assert told == {"only_held_out": len(folders)}


def test_a_wrapper_called_like_a_split_is_none():
    places, _ = read(*with_classes("test_data/train", "test_data/test"))
    assert places["test_data/train/cat"] == ("cat", "train")


@pytest.mark.parametrize(
    ("folders", "labels", "told"),
    [
        (["animals/cat", "animals/dog", "vehicles/car"], ["animals", "animals", "vehicles"], {"deeper_folders": 3}),
        (["cat/part1", "cat/part2", "dog/part1"], ["cat", "cat", "dog"], {"deeper_folders": 2}),
        (["part1/cat", "part2/cat", "part2/dog"], ["cat", "cat", "dog"], {}),
        (["00000", "00001"], [None, None], {"not_a_class": 2}),
        (["celeba/celeba"], [None], {"not_a_class": 1}),
        (["a/b/cat"], ["cat"], {}),
        (["images", "masks"], ["images", "masks"], {"masks": 1}),
        (["images/cat", "images/dog", "masks"], ["cat", "dog", "masks"], {"masks": 1}),
        (["", "cat"], [None, "cat"], {}),
    ],
)
def test_classes_and_wrappers(folders, labels, told):
    places, counts = read(*folders)
    assert [places[folder][0] for folder in folders] == labels
    assert counts == told


def test_names_compare_in_one_form():
    names = [unicodedata.normalize(form, "café") for form in ("NFC", "NFD")]
    places, _ = read(f"train/{names[0]}", f"test/{names[1]}")
    assert {label for label, _ in places.values()} == {names[0]}


def test_a_folder_as_deep_as_a_name_may_be_is_no_recursion():
    places, _ = read("a/" * 5000 + "cat", "a/" * 5000 + "dog")
    assert [label for label, _ in places.values()] == ["cat", "dog"]


def codes(source):
    return {notice.code: notice.count for notice in source.notices}


def test_loose_images_alike_names_and_empty_folders(make):
    files = {f"{name}/{i}.png": make.png(i) for name in ("Cat", "cat", "dog", "dog ") for i in (1, 2)}
    path = make.folder({**files, "cover.png": make.png(9)})
    (path / "owl").mkdir()
    (path / ".git/hooks").mkdir(parents=True)
    source = kept(open_source("folder", path, None, 0))
    assert {entry.label for entry in source.entries} == {"Cat", "cat", "dog", "dog ", None}
    assert codes(source) == {"empty_folders": 1, "names_alike": 4, "padded_names": 1, "unlabelled": 1}


@pytest.mark.parametrize(
    ("names", "told"),
    [(["train_1", "train_2", "test_1"], 3), (["train_1", "train_2"], 0), (["train_1", "test_1", "cover"], 0)],
)
def test_splits_in_the_names_of_files_are_told(make, names, told):
    source = kept(open_source("folder", make.folder({f"a/{name}.png": make.png(1) for name in names}), None, 0))
    assert codes(source).get("split_in_file_names", 0) == told


def test_one_class_and_none(make):
    assert codes(kept(open_source("folder", make.folder({"cat/1.png": make.png(1)}), None, 0))) == {"one_class": 1}
    flat = make.folder({"1.png": make.png(1), "2.png": make.png(2)}, "flat")
    assert codes(kept(open_source("folder", flat, None, 0))) == {"no_labels": 2}
