"""What people call the columns of a label, a caption and a split, in whatever kind of table: in small letters, preferred first.

What names the image differs: a file in a table beside images, its bytes in a table that holds them.
"""

from __future__ import annotations

import re

LABEL = (
    "label", "labels", "class", "class_name", "class_label", "label_name", "category", "category_name", "fine_label", "target",
    "targets", "cls", "classes", "class_id", "classid", "coarse_label",
)  # fmt: skip
TEXT = (
    "text", "caption", "captions", "prompt", "description", "txt", "alt_text", "sentence", "sentences",
)  # fmt: skip
SPLIT = ("split", "splits", "data_split", "dataset_split", "split_name", "split_type", "subset", "partition")
#: Names that may mean something else, as `set` does of toys: every value has to be a word for a split.
MAYBE_SPLIT = frozenset(
    {"phase", "set", "data_set", "dataset", "set_name", "set_type", "usage", "train_test", "train_or_test"}
)


def plain(name: str) -> str:
    """A column's name in small letters, its words joined by `_`."""
    return re.sub(r"[\s-]+", "_", name.strip("\ufeff \t\r\n\"'").casefold())
