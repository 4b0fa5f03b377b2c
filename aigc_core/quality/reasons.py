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
    WRONG_TYPE: "the name says another format than the bytes",
    GENERATED: "the file says of itself that it was made by a generative model",
    TOO_SMALL: "the shorter side is too short",
    BLANK: "the image hardly varies",
    ODD_SIZE: "far smaller or larger than the reference images",
    ODD_ASPECT: "far longer or taller than the reference images",
    LOW_INFORMATION: "the grey levels tell far less than those of the reference images",
    DARK: "even its brightest parts are dark beside the reference images",
    BRIGHT: "even its darkest parts are bright beside the reference images",
    BLURRY: "far less fine detail for its contrast than the reference images",
    NOISY: "far more pixel noise than the reference images",
    OUT_OF_DOMAIN: "looks like nothing among the reference images",
    DUPLICATE_EXACT: "the same pixels as another row, which stays",
    DUPLICATE_NEAR: "looks almost like another row, which stays",
    LEAK: "a training row that is, or almost is, a reference or test image",
    LABEL_CONFLICT: "the same pixels carry another label elsewhere",
    LABEL_SUSPECT: "judged by other rows, the label may well be wrong",
}

#: Reasons that follow from the row or its equals alone. Only these may take a reference or test row away: a curation
#: that cleaned the rows it is judged by with learned or fitted checks would improve its own score.
DETERMINISTIC = frozenset(
    {CORRUPT, WRONG_TYPE, GENERATED, TOO_SMALL, BLANK, DUPLICATE_EXACT, LABEL_CONFLICT}
)  # fmt: skip
