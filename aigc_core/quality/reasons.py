"""Reason codes: why a row is quarantined or warned of. Used in verdicts, parameters, gate and report."""

CORRUPT = "corrupt"
TOO_SMALL = "too_small"
BLANK = "blank"
DUPLICATE_EXACT = "duplicate_exact"
DUPLICATE_NEAR = "duplicate_near"
WRONG_TYPE = "wrong_type"
ODD_SIZE = "odd_size"
ODD_ASPECT = "odd_aspect"
LOW_INFORMATION = "low_information"
DARK = "dark"
BRIGHT = "bright"
BLURRY = "blurry"
NOISY = "noisy"
LEAK = "leak"
LABEL_CONFLICT = "label_conflict"
LABEL_SUSPECT = "label_suspect"
OUT_OF_DOMAIN = "out_of_domain"
GENERATED = "generated"

#: Every reason with a sentence for a person, in the order in which they are checked.
REASONS = {
    CORRUPT: "the bytes are not a whole, readable image",
    TOO_SMALL: "the shorter side is too short",
    BLANK: "the image hardly varies",
    DUPLICATE_EXACT: "the same pixels as another row, which stays",
    DUPLICATE_NEAR: "looks almost like another row",
}
