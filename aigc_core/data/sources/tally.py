"""What readers left out, guessed or found not to meet: counted by kind while reading, and one sentence for each kind."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from aigc_core.data.sources.base import Notice

#: Names that a sentence shows. Columns are few, and a person has to know them all to choose one.
EXAMPLES = 3
COLUMNS = 12
#: Letters of one example; those of a description of a table.
EXAMPLE_LETTERS = 120
TABLE_LETTERS = 300

#: What each code says, in the order in which notices are told: {n} is the count; {names} are the first examples
#: in brackets, {examples} without them; {s}, {have}, {are} and {it} agree with the count.
SENTENCES: dict[str, str] = {
    "part_by_name": "parts of the mix whose folder is called like a split: {n}{names}",
    "only_held_out": "every row is held out by the name of its folder{names}, nothing is left to train on; to divide the rows "
    "anew, name that folder itself in source.path",
    "beside_splits": "folders beside splits whose names say neither train nor test: {n}{names}",
    "split_or_class": "folders named like a split but read as a class: {n}{names}; if they are held out, put the other folders "
    "into train/",
    "held_out_by_name": "folders held out because of a word in their names: {n}{names}",
    "maybe_splits": "folders read as classes that hold folders of the same names: {n}{names}; if they are splits, call them "
    "train and test",
    "class_in_split_name": "classes taken from the names of split folders: {n}{names}",
    "split_in_file_names": "files named like splits, which was not read: {n}{names}; put them into train/ and test/",
    "not_a_class": "folders not taken for a class, because their names say no more than that images are in them: {n}{names}",
    "wrapping_folder": "the folder around everything was not taken for a class{names}; if it is one, say so in a metadata.csv",
    "masks": "folders that look like masks or other maps of the images beside them: {n}{names}; they were read as images too: "
    "to leave them out, name the folder of the images in source.path",
    "deeper_folders": "folders inside class folders, not taken for classes of their own: {n}{names}",
    "empty_folders": "empty folders: {n}{names}",
    "names_alike": "classes whose names differ only in case or blanks, kept apart: {n}{names}",
    "padded_names": "classes whose names begin or end with a blank, kept as they are: {n}{names}",
    "one_class": "every row has the same class{names}",
    "no_labels": "no row has a label: neither class folders nor a table name classes",
    "unlabelled": "rows without a label, while others have one: {n}{names}",
    "table_not_read": "tables that were not read: {n}{names}",
    "empty_table": "tables without rows: {n}{names}",
    "table_held_out": "tables whose rows are held out because of a word in their names: {n}{names}",
    "split_guessed": "table columns read as the split, because all of their values say one: {n}{names}",
    "rows_without_file": "table rows whose file is not an image of the source: {n}{names}",
    "ambiguous_names": "table rows whose file is not certain, not used: {n}{names}",
    "files_without_row": "images that no table lists: {n}{names}",
    "names_met_loosely": "table rows matched to a file whose name is written differently: {n}{names}",
    "listed_twice": "table rows that repeat a file with other values, where the first row counts: {n}{names}",
    "label_not_folder": "rows labelled by a table otherwise than by their folder, where the table counts: {n}{names}",
    "split_conflict": "rows whose folder and table name different splits, where held out counts: {n}{names}",
    "unknown_split": "table rows with an unknown split: {n}{names}",
    "values_not_read": "labels or captions that are neither text nor a number, left out: {n}{names}",
    "more_captions": "rows with several captions, of which the first was read: {n}{names}",
    "unclosed_quote": "table rows with a quote that is never closed, ended where the next row begins: {n}{names}",
    "long_rows": "table rows with more cells than the header, whose rest was added to the caption: {n}{names}; put captions "
    "with commas into quotes",
    "cut_rows": "table rows with more cells than the header, whose rest was left out: {n}{names}",
    "short_rows": "table rows with fewer cells than the header: {n}{names}; missing cells count as empty",
    "bad_rows": "table rows that cannot be read: {n}{names}",
    "nul_bytes": "table lines with NUL bytes, which were removed: {n}{names}",
    "columns_not_read": "table columns that were not read: {n}{names}",
    "captions_not_read": "files beside images that are no readable captions: {n}{names}",
    "facts_beside_and_in_table": "rows that a file beside them and a table describe differently, where the table counts: "
    "{n}{names}",
    "names_guessed": "names in the archive whose encoding was guessed: {n}{names}; pack it again with names in UTF-8",
    "archive_inside": "archives inside the source, not opened: {n}{names}; name one in source.path to read it",
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
#: Those of labels and classes, which do not hold where the part of a mix itself names the class.
LABELS = frozenset(
    {"no_labels", "unlabelled", "one_class", "names_alike", "padded_names", "class_in_split_name", "not_a_class", "wrapping_folder",
     "deeper_folders", "label_not_folder", "rows_without_label", "labels_from_lists", "labels_in_lists", "labels_out_of_range",
     "labels_not_text", "labels_not_usable", "label_numbers_not_used", "images_without_labels", "labels_mostly_differ",
     "label_columns_not_used", "class_lists_differ", "class_names_borrowed", "labels_of_several_sets"}
)  # fmt: skip
_MOST = {code: COLUMNS for code in SENTENCES if code.endswith("columns_not_used")}
_LETTERS = dict.fromkeys(("tables_disagree", "tables_without_images"), TABLE_LETTERS)


def printable(name: str, most: int = EXAMPLE_LETTERS) -> str:
    """A name for one line of a terminal: no control letters, cut where it is longer than `most`."""
    shown = name if name.isprintable() else repr(name)[1:-1]
    return shown if len(shown) <= most else f"{shown[:most]}..."


@dataclass
class Tally:
    """Counts by the codes of `SENTENCES`, with the first few examples of each."""

    counts: Counter[str] = field(default_factory=Counter)
    examples: dict[str, dict[str, None]] = field(default_factory=dict)

    def add(self, code: str, example: str = "", count: int = 1) -> None:
        """Count `count` more of `code`; equal examples are named once."""
        if not count:
            return
        self.counts[code] += count
        if example:
            self._show(code, example)

    def merge(self, other: Tally) -> None:
        """Count what another tally counted, too."""
        self.counts.update(other.counts)
        for code, examples in other.examples.items():
            for example in examples:
                self._show(code, example)

    def notices(self) -> list[Notice]:
        """One notice for every code that was counted, in the order of `SENTENCES`."""
        return [Notice(code, self.counts[code], self._sentence(code)) for code in SENTENCES if self.counts[code]]

    def _show(self, code: str, example: str) -> None:
        """Name an example while there are few, and while all of them are no longer than two long ones."""
        named = self.examples.setdefault(code, {})
        most, letters = _MOST.get(code, EXAMPLES), _LETTERS.get(code, EXAMPLE_LETTERS)
        if len(named) == most:
            return
        shown = printable(example, letters)
        if not named or sum(map(len, (*named, shown))) <= letters * most * 2 // EXAMPLES:
            named[shown] = None

    def _sentence(self, code: str) -> str:
        count, examples = self.counts[code], list(self.examples.get(code, ()))
        one = count == 1
        more = ["..."] if count > len(examples) else []
        return SENTENCES[code].format(
            n=f"{count:,}",
            names=f" ({', '.join([*examples, *more])})" if examples else "",
            examples=", ".join(examples),
            s="" if one else "s",
            have="has" if one else "have",
            are="is" if one else "are",
            it="it" if one else "them",
        )
