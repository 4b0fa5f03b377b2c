"""What a reader left out, guessed or found not to meet, counted and said in one sentence per kind."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from aigc_core.data.sources.base import Notice

#: Examples in a sentence. Columns are few, and a person has to know them all to choose one.
EXAMPLES = 3
COLUMNS = 12

SENTENCES = {
    "rows_without_label": "{n} row{s} {have} no label, because the cell is null, NaN, empty or -1, such as {examples}",
    "labels_from_lists": "{n} row{s} {have} the label in a list of one, whose element is taken, such as {examples}",
    "labels_in_lists": "{n} row{s} {have} several labels in one cell and {are} read without a label, such as {examples}",
    "labels_out_of_range": "{n} row{s} {have} a label number without a class name and {are} read without a label, "
    "such as {examples}",
    "labels_not_text": "{n} row{s} {have} a label of bytes that are no UTF-8 text and {are} read without a label, "
    "such as {examples}",
    "labels_not_usable": "the labels of {n} file{s} are no single class per image and are not used: {examples}",
    "label_numbers_not_used": "of {n} file{s} of labels the first number of each row is the class, and the others are "
    "not used: {examples}",
    "labels_without_images": "{n} file{s} of labels {have} no file of images and {are} not used: {examples}",
    "images_without_labels": "{n} file{s} of images {have} no file of labels: {examples}",
    "labels_mostly_differ": "{n} label{s} {are} in the column of labels, so that most rows have one of their own; they "
    "may be no classes, such as {examples}",
    "captions_left_out": "{n} caption{s} {are} left out, because a row takes the first of its list, such as in {examples}",
    "split_values_unknown": "{n} row{s} {have} null, or a word that names no split, in the split column, such as "
    "{examples}: the file's name decides for {it}, or the content",
    "columns_not_used": "{n} column{s} {are} not used: {examples}; source.columns chooses others",
    "image_columns_not_used": "{n} other column{s} of images {are} not used: {examples}; source.columns.image chooses",
    "label_columns_not_used": "{n} other column{s} that may be the label {are} not used: {examples}; source.columns.label "
    "chooses",
    "column_guessed": "{n} column{s} {are} taken without a usual name: {examples}; source.columns chooses",
    "images_as_text": "{n} row{s} {have} images as base64 text, which is decoded: {examples}",
    "images_as_numbers": "{n} row{s} {have} images as lists of numbers, read as height x width x channels, or with the "
    "channels first where only the first number is 1, 3 or 4: {examples}",
    "images_in_lists": "{n} row{s} {have} images in lists; a list of one is read, a longer one is a row that cannot be "
    "read: {examples}",
    "tables_without_images": "{n} table{s} without images {are} left out: {examples}",
    "tables_without_rows": "{n} table{s} {have} no rows: {examples}",
    "tables_disagree": "{n} table{s} {have} other columns than the first: {examples}",
    "class_lists_differ": "{n} table{s} {have} another list of class names than the first; each is read by its own: "
    "{examples}",
    "class_names_borrowed": "{n} table{s} {have} numbers for labels and no class names; those of the other tables are "
    "used: {examples}",
    "split_unclear": "{n} path{s} {have} words of more than one split: {examples}",
    "names_without_split": "{n} name{s} {have} no word for a split beside others that have one, and the rows are divided by "
    "content: {examples}",
    "nothing_to_learn_from": "all rows ({n}) are held out by the names of their files or by a column, so that none is "
    "left to learn from",
    "stale_rows": "{n} folder{s} {are} written by Delta Lake, whose log is not read: rows that were deleted from it may "
    "be among those read: {examples}",
    "files_not_idx": "{n} file{s} named like images or labels {are} no idx and {are} not read: {examples}",
    "channels_first": "{n} file{s} {have} the channels before height and width, and {are} read so: {examples}",
    "wide_pixels": "{n} file{s} {have} numbers wider than bytes; an image with a value outside 0 to 255 is a row that "
    "cannot be read: {examples}",
    "bytes_left_over": "{n} file{s} {have} more bytes than the header says, which are not read: {examples}",
    "images_transposed": "{n} file{s} of EMNIST {have} rows and columns of each image exchanged; that is not undone: "
    "{examples}",
    "labels_of_several_sets": "{n} sets lie in one folder, and their labels are taken for the same classes: {examples}",
}  # fmt: skip
_LIMITS = {code: COLUMNS for code in SENTENCES if code.endswith("columns_not_used")}


@dataclass
class Tally:
    """Counts by the codes of `SENTENCES`, with the first few examples of each."""

    counts: Counter[str] = field(default_factory=Counter)
    examples: dict[str, dict[str, None]] = field(default_factory=dict)

    def add(self, code: str, example: str, count: int = 1) -> None:
        """Count `count` more of `code`; equal examples are named once."""
        self.counts[code] += count
        named = self.examples.setdefault(code, {})
        if len(named) < _LIMITS.get(code, EXAMPLES):
            named[example] = None

    def notices(self) -> list[Notice]:
        """One notice for every code that was counted, in the order of `SENTENCES`."""
        return [Notice(code, self.counts[code], self._sentence(code)) for code in SENTENCES if self.counts[code]]

    def _sentence(self, code: str) -> str:
        count = self.counts[code]
        one = count == 1
        return SENTENCES[code].format(
            n=f"{count:,}",
            s="" if one else "s",
            have="has" if one else "have",
            are="is" if one else "are",
            it="it" if one else "them",
            examples=", ".join(self.examples[code]),
        )
