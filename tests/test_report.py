"""The page: complete, self-contained, the same bytes for the same outs, and no bolder than its numbers."""

import json
import math
import re
import struct
from html.parser import HTMLParser

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from aigc_core.ablation import words
from aigc_core.commands.summary import found_lines, summary
from aigc_core.config import Config
from aigc_core.data.store import ContentWriter
from aigc_core.errors import DataError
from aigc_core.evaluation.distances import MIN_DIMENSIONS, ROWS_PER_DIMENSION
from aigc_core.evaluation.memorization import MIN_IMAGES
from aigc_core.files import write_json, write_table
from aigc_core.modalities import image
from aigc_core.paths import FAMILIES, Paths
from aigc_core.records import (
    CALIBRATION_FILE,
    LEARNED_SCHEMA,
    QUARANTINE_SCHEMA,
    ROW_SCHEMA,
    TRUTH_SCHEMA,
    VERDICT_SCHEMA,
)
from aigc_core.report import curves, facts, groups, measures, page, seeds, verdict
from aigc_core.report.ratios import ratio
from aigc_core.stages.report import gather, report

METRICS = {
    "fd": 0.40, "fd_floor": 0.35, "fd_floor_std": 0.03, "fd_over_floor": 0.40 / 0.35, "fd_real": 0.35, "fd_dimensions": 32,
    "fd_low": 0.36, "fd_high": 0.45, "coverage_gap_worst": 0.31, "coverage_gap_worst_limit": 0.084, "coverage": 0.90, "coverage_real": 0.95, "density": 1.0, "density_real": 1.0, "cas": 0.94, "cas_real": 0.96, "n": 500,
}  # fmt: skip


def metrics(**changes):
    found = {**METRICS, **changes}
    return {**found, "fd_over_floor": found["fd"] / found["fd_floor"]}


def card(operation, parent, version, rows, **more):
    counts = {"reference": {"a": 4, "b<": 4}, "train": {"a": rows - 16, "b<": 4}, "test": {"a": 2, "b<": 2}}
    shape = {"size": 8, "channels": 1, "resize": "lanczos-cover"}
    return {"operation": operation, "parent": parent, "version": version, "counts": counts, "classes": ["a", "b<"],
            "image": shape, "parameters": {}, "dropped": {}, "content": [], "tool": "aigc 0.1.0", **more}  # fmt: skip


def write_model(folder, name):
    folder.mkdir(parents=True)
    header = json.dumps({"w": {"dtype": "F32", "shape": [3, 5], "data_offsets": [0, 60]}}).encode()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + bytes(60))
    start = {"start": {"mode": "scale_shift", "classes_carried": [], "not_carried": []}} if name == "tuned" else {}
    write_json(folder / "model.json", {**start, "step": 100, "rows": 80, "config_digest": f"digest{name}", "dataset_version": "v2",
               "weights_sha256": "f" * 64})  # fmt: skip
    lines = "\n".join(f"{step},{1 / (step + 1):.4f},0.5" for step in range(0, 100, 10))
    (folder / "curve.csv").write_text(f"step,generator_loss,kl_loss\n{lines}\n")
    Image.new("RGB", (40, 20), (200, 10, 10)).save(folder / "samples.png")


def write_quarantine(paths):
    blank = image.encode_png(np.full((8, 8, 1), 7, np.uint8))
    rows = [("bad", "x/bad.png", ["corrupt"], b"\x89PNG broken"), ("blank", "x/blank.png", ["blank"], blank)]
    table = [{"id": i, "source": s, "split": "train", "label": "a", "reasons": r, "content": c} for i, s, r, c in rows]
    write_table(paths.quarantine / "part-0.parquet", pa.Table.from_pylist(table, QUARANTINE_SCHEMA))
    verdicts = [
        {"id": "bad", "reason": "corrupt", "action": "quarantine", "measure": "error", "detail": "cut <off> halfway"},
        {"id": "blank", "reason": "blank", "action": "quarantine", "measure": "std", "value": 0.0, "threshold": 0.01},
        {"id": "twin", "reason": "duplicate_near", "action": "warn", "measure": "perceptual_hash", "value": 1.0,
         "cluster": "copy"},
        {"id": "twin", "reason": "too_small", "action": "warn", "measure": "width", "score": 0.4, "value": 7.0, "threshold": 8.0},
        {"id": "lost", "reason": "too_small", "action": "warn", "measure": "width", "score": 0.1, "value": 2.0, "threshold": 8.0},
        {"id": "gone", "reason": "too_small", "action": "warn", "measure": "width", "score": 0.2, "value": 3.0, "threshold": 9.0},
    ]  # fmt: skip
    verdicts = [{"source": "x", **line} for line in verdicts]
    write_table(paths.verdicts / "part-0.parquet", pa.Table.from_pylist(verdicts, VERDICT_SCHEMA))
    write_json(
        paths.verdicts / CALIBRATION_FILE,
        {"silent": {"bright": "the reference images reach as far as an image can"}, "unchecked_classes": {"heron": 7}},
    )


@pytest.fixture
def paths(tmp_path):
    """A data/ folder as the stages before `report` leave it, to be changed by one test."""
    return write_outs(Paths(tmp_path))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The same with its page rendered, only to be read."""
    paths = write_outs(Paths(tmp_path_factory.mktemp("made")))
    report(Config(), paths)
    return paths


def write_rows(paths):
    """Two rows that look alike, and a third that the content store lacks."""
    with ContentWriter(paths.content) as writer:
        for name, level in (("twin", 50), ("copy", 60)):
            writer.add(name, image.encode_png(np.full((8, 8, 1), level, np.uint8)))
    rows = [{"id": name, "source": f"x/{name}.png", "label": "a", "split": "train", "content_hash": name}
            for name in ("bad", "blank", "twin", "copy", "lost")]  # fmt: skip
    write_table(paths.ingested / "rows.parquet", pa.Table.from_pylist(rows, ROW_SCHEMA))
    learned = [{"id": "twin", "label_predicted": "b<"}, {"id": "copy", "label_predicted": "a"}]
    write_table(paths.measures / "learned.parquet", pa.Table.from_pylist(learned, LEARNED_SCHEMA))


def write_beside(details, family):
    """What evaluate writes beside its numbers: the VAE memorized, and pixels see it where the domain extractor does not."""
    failed = family == "vae"
    reasons = ["Copies <galore>"] if failed else []
    write_json(details / "memorization.json", {"passed": not failed, "reasons": reasons,
               "remarks": [] if failed else ["They are <smooth>."], "held_out": "reference" if failed else "test",
               "held_out_why": "" if failed else "Only <12> were left.",
               "figures": {"c_t": -9.0 if failed else 0.5, "copy_rate": 0.02, "copy_rate_real": 0.01,
                           "held_out_copies": 3.0 if failed else 0.0},
               "limits": {"max_copy_rate": 0.03}})  # fmt: skip
    opinion = {"hash": "h" * 64, "n": 500, "dimensions": 16, "fd": 0.4, "fd_floor": 0.1, "fd_floor_std": 0.01,
               "fd_over_floor": 4.0, "warning": None}  # fmt: skip
    others = {
        "domain": {**opinion, "hash": "e" * 64},
        "pixel_pca": {**opinion, "warning": "moves with n" if failed else None},
    }
    if failed:
        others["domain"] = {**others["domain"], "fd": 0.8}
        others["pixel_pca"] = {**others["pixel_pca"], "fd": 0.1}
    write_json(details / "extractors.json", {"opinions": others, "alarms": ["pixel_pca <hardly> sees it."] * failed})
    vae = {"active": 3, "activity": [1.0]} if family == "vae" else {}
    names = ["interpolation", *(["reconstructions", "traversals"] if vae else [])]
    for name in names:
        Image.new("L", (30, 30), 90).save(details / f"{name}.png")
    write_json(details / "latents.json", {"pictures": names, "dimensions": 64, **vae})
    near = {"way": "pixels", "rank": 1, "id": "i" * 64, "source": "x/1.png", "label": "b<", "distance": 12.5}
    lines = [{"sample": 3, "label": "b<", "nearest": [near, {**near, "rank": 2}]}]
    write_json(details / "likeness.json", {"note": "Likeness only.", "dataset_version": "v2", "samples": lines})


def write_final(paths):
    """The GAN passed, and so it was trained once more."""
    write_model(paths.final, "final")
    write_json(paths.final / "final.json", {"made": True, "family": "gan", "rows": 84, "note": "Not evaluated <itself>.",
               "memorization": "failed", "reasons": ["Twins <here>"], "evaluated": METRICS})  # fmt: skip
    write_json(
        paths.final / "memorization.json",
        {"passed": False, "figures": {"c_t": -4.25, "held_out_copies": 1.0}, "limits": {"max_copy_rate": 0.03}},
    )
    Image.new("L", (30, 30), 90).save(paths.final / "closest.png")


def write_outs(paths):
    write_final(paths)
    write_json(paths.ablation / "ledger.json", {"ran": False, "why": "The study is switched off."})
    write_rows(paths)
    write_json(
        paths.ingested / "card.json",
        card("ingest", None, "v1", 102, content=["../content"], parameters={"source": {"kind": "digits"}}),
    )
    told = [{"code": "left_out", "count": 2, "text": "left out: videos 2 (<.mp4>)"}]
    write_json(paths.ingested / "notices.json", told)
    rules = {"duplicate_exact": {"action": "quarantine"}, "decisions": {"keep": 0, "drop": 2, "relabel": 1}}
    write_json(paths.curated / "card.json", card("curate", "v1", "v2", 100, parameters=rules))
    write_json(paths.augmented / "card.json", card("augment", "v2", "v3", 180))
    truth = [("bad", "corrupt", None), ("copy", "duplicate_near", "twin"), ("flip", "label_flip", None)]
    rows = [dict(zip(TRUTH_SCHEMA.names, line, strict=True)) for line in truth]
    write_table(paths.ingested / "truth.parquet", pa.Table.from_pylist(rows, TRUTH_SCHEMA))
    write_quarantine(paths)
    Image.new("RGB", (60, 30)).save(paths.augmented / "sheet.png")
    check = {"name": "enough_rows", "description": "Enough rows.", "observed": 100.0, "expected": "at least 50"}
    checks = [{**check, "severity": "error", "passed": True}, {**check, "severity": "warning", "passed": False}]
    write_json(paths.validation, {"suite": "images", "success": True, "checks": checks})
    write_json(paths.extractor / "extractor.json", {"hash": "e" * 64})
    for family in FAMILIES:
        for place in (paths.model(family), paths.pretrained(family),
                      paths.finetuned(family) / "tuned", paths.finetuned(family) / "scratch"):  # fmt: skip
            write_model(place, "tuned" if place.name == "tuned" else family)
        write_json(paths.finetuned(family) / "target.json", {"classes": ["b<"], "ids": ["1"], "per_class": 1})
        details = paths.evaluation(family) / "details"
        write_json(paths.evaluation(family) / "metrics.json", METRICS)
        write_json(
            details / "facts.json",
            {"reference_hash": "r" * 64, "nearest_rms_generated": 20.0, "nearest_rms_held_out": 21.0,
             "worst_class": {"coverage": "b<"}, "train_rows": 900},
        )  # fmt: skip
        write_beside(details, family)
        (details / "per_class.csv").write_text("label,test_rows,coverage\nb<,12,0.91666\n")
        write_json(paths.evaluation_finetune(family) / "metrics.json", {"tuned": METRICS, "scratch": metrics(fd=0.8)})
        other = paths.evaluation_finetune(family) / "details"
        other.mkdir()
        drawn = [details / f"{name}.png" for name in ("nearest", "classes", "closest", "likeness")]
        for picture in (*drawn, other / "classes.png"):
            Image.new("L", (30, 30), 90).save(picture)
    return paths


class Page(HTMLParser):
    """What a test asks of the page: its tags in balance, what it would fetch, which pictures have no words."""

    VOID = ("meta", "link", "img", "br")

    def __init__(self, text):
        super().__init__()
        self.open, self.fetched, self.links, self.images, self.ids, self.anchors = [], [], [], [], set(), set()
        self.tags = set()
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.tags.add(tag)
        if tag not in self.VOID and not tag.startswith("path"):
            self.open.append(tag)
        if "src" in found or tag == "link":
            self.fetched.append(found.get("src") or found["href"])
        if tag == "a":
            target = found["href"]
            (self.anchors if target.startswith("#") else set()).add(target[1:])
            if not target.startswith("#"):
                self.links.append(target)
        if tag == "img":
            self.images.append(found)
        if "id" in found:
            self.ids.add(found["id"])

    def handle_startendtag(self, tag, attributes):
        self.tags.add(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_is_whole_and_fetches_nothing(made):
    text = made.report.read_text()
    page = Page(text)
    assert page.open == []
    assert text.startswith("<!doctype html>")
    assert page.fetched
    assert all(source.startswith("data:") for source in page.fetched)
    assert "script" not in page.tags
    assert not re.search(r"url\((?!#)|@import|https?://(?!www\.w3\.org/)", text)
    assert page.anchors <= page.ids
    assert all(found["alt"] for found in page.images)
    assert "prefers-color-scheme: dark" in text


def test_the_page_tells_what_the_outs_hold(made):
    text = made.report.read_text()
    assert "cannot be shown: cut &lt;off&gt; halfway" in text, (
        "a corrupt image is a placeholder with its error, escaped"
    )
    assert text.count('class="broken"') == 2, "and one that lost its content says that"
    assert 'class="state warning">warning' in text
    assert re.search(r"duplicate near</th><td class=\"n\">1</td><td class=\"n\">1</td><td class=\"n\">0<", text)
    assert re.search(r"label flip</th><td class=\"n\">1</td><td class=\"n\">0</td>", text), (
        "what no check finds is shown"
    )
    assert re.search(r"duplicate near</th>.*\n<td class=\"n\">1.00</td><td class=\"n\">1.00</td>", text)
    assert re.search(r"label flip</th>.*\n<td class=\"n\">0.00</td><td class=\"n\">none named</td>", text)
    assert "b&lt;" in text
    assert "<b<" not in text
    assert text.count("<svg") == 2 * 2 * len(FAMILIES)


def test_what_reading_left_out_is_shown(made, paths):
    def section(where):
        text = where.report.read_text()
        return text[text.index('<section id="data">') : text.index('<section id="quarantine">')]

    assert "<li>left out: videos 2 (&lt;.mp4&gt;)</li>" in section(made)
    (paths.ingested / "notices.json").unlink()
    report(Config(), paths)
    assert "videos" not in section(paths)


def test_groups_and_warned_rows_are_shown(made):
    text = made.report.read_text()
    group = text[text.index('<ul class="groups">') :]
    group = group[: group.index("</ul>")]
    assert re.search(r'class="stays"><img [^>]*alt="stays: x/copy.png"', group)
    assert re.search(r'<div><img [^>]*alt="duplicate near: x/twin.png"', group)
    warned = text[text.index("<h4>too small") :]
    warned = warned[: warned.index("</figure>")]
    assert warned.index("x/lost.png") < warned.index("x/twin.png"), "worst first"
    assert "labelled a, looks like b&lt;" in warned
    assert "width: 7, threshold 8, score 0.400" in warned
    assert "threshold 8 to 9" in text, "a threshold that is not the same for all rows shows its range"
    assert "<h4>duplicate near" not in text, "what the groups show is not shown twice"
    assert re.search(r"duplicate exact</th>.*<td>quarantine</td>\s*<td class=\"n\">0</td>", text)
    assert "2 drop, 1 relabel." in text


def test_drift_has_a_table_once_a_version_was_accepted(paths):
    report(Config(), paths)
    assert "No version was accepted yet" in paths.report.read_text()
    gate = json.loads(paths.validation.read_text())
    drift = {"name": "drift_mean", "description": "d", "severity": "warning", "passed": False, "observed": 0.3, "expected": "at most 0.1"}  # fmt: skip
    write_json(paths.validation, {**gate, "checks": [*gate["checks"], drift]})
    report(Config(), paths)
    text = paths.report.read_text()
    assert "No version was accepted yet" not in text
    assert re.search(r'warning">warning</td><td>mean</td><td class="n">0.3</td><td>at most 0.1', text)


def test_the_page_shows_gate_alarms_intervals_worst_class_and_likeness(made):
    text = made.report.read_text()
    assert "failed: not released" in text
    assert text.count("passed: released") == 1
    assert "Not released: VAE." in text
    assert "GAN passed." in text
    assert "Copies &lt;galore&gt;<" in text
    assert "They are &lt;smooth&gt;." in text
    assert text.count("<p>Only &lt;12&gt; were left.</p>") == 1
    assert text.count("reference images,\nwhich come from the same place") == 1
    assert re.findall(r"<p>(\d) held-out images? (?:is|are) the same", text) == ["3", "1"], (
        "of the VAE and of the final model"
    )
    assert re.search(
        r"C_T</th><td class=\"n\">-9.000</td><td class=\"n\"></td><td class=\"n\"></td><td>none</td>", text
    )
    assert "VAE: pixel_pca &lt;hardly&gt; sees it." in text
    assert "pixel_pca ranks VAE before GAN, the domain extractor the other way round" in text
    assert "0.360 to 0.450" in text
    assert "Served worst: class b&lt; by coverage (31 points below real images of it; by chance" in text
    assert "The 900 training images are too few" in text
    assert "moves with n" in text
    assert text.count("x/1.png") == len(FAMILIES), "the nearest only, of each way"
    assert "distance, extrapolated" not in text, "a measure that was not taken has no row"


def test_two_renderings_are_equal_and_hold_no_address(made, paths, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("AIGC_MLFLOW_UI", raising=False)
    first = made.report.read_bytes()
    write_json(paths.run_file("train@gan"), {"run_id": "abc123", "experiment_id": "7", "name": "train@gan-9"})
    report(Config(), paths)
    assert paths.report.read_bytes() == first, "neither the folder nor a run shows in the out"
    assert b"127.0.0.1" not in first
    assert b"digestgan" in first
    linked = Page(paths.linked_report.read_text())
    assert set(linked.links) == {"http://127.0.0.1:5000/#/experiments/7/runs/abc123"}


def test_a_page_without_quarantine_or_planted_defects(paths):
    write_table(paths.quarantine / "part-0.parquet", QUARANTINE_SCHEMA.empty_table())
    write_table(paths.verdicts / "part-0.parquet", VERDICT_SCHEMA.empty_table())
    (paths.ingested / "truth.parquet").unlink()
    report(Config(), paths)
    text = paths.report.read_text()
    assert "Nothing is in quarantine" in text
    assert "Planted defects" not in text


def test_what_could_not_be_looked_for_is_on_the_page(paths):
    report(Config(), paths)
    text = " ".join(paths.report.read_text().split())
    assert "as far as an image can" in text
    assert "heron (7)" in text
    write_json(paths.verdicts / CALIBRATION_FILE, {"silent": {}, "unchecked_classes": {}})
    report(Config(), paths)
    assert "could not be looked for" not in paths.report.read_text()


@pytest.fixture(scope="module")
def gathered(made):
    """The facts that a page is rendered from."""
    return gather(made) | {"links": {}}


@pytest.mark.parametrize(
    ("silent", "unchecked", "told", "untold"),
    [
        ({"dark": "all dark"}, {}, ["all dark"], ["heron"]),
        ({}, {"heron": 7}, ["heron (7)"], ["all dark"]),
        ({"label_suspect": "too alike"}, {"heron": 7}, ["too alike"], ["heron"]),
        ({}, {f"bird{n}": n for n in range(43)}, ["bird0 (0)", "bird39 (39)", "43 classes", "3 more"], ["bird40"]),
        ({}, {f"bird{n}": 1500 for n in range(40)}, ["bird39 (1,500)", "40 classes"], ["more."]),
        ({"dark": "<b>"}, {"<i>": 7}, ["&lt;b&gt;", "&lt;i&gt;"], ["<b>.", "<i>"]),
    ],
)
def test_detectors_and_classes_that_could_not_be_looked_at_are_listed(gathered, silent, unchecked, told, untold):
    data = gathered["data"] | {"silent": silent, "unchecked": unchecked}
    text = " ".join(page.render(gathered | {"data": data}, "data.html.j2").split())
    _, part = text.split("What could not be looked for</h3>")
    part = part[: part.index("</ul>")]
    assert [word in part for word in told] == [True] * len(told), part
    assert [word in part for word in untold] == [False] * len(untold), part


@pytest.mark.parametrize(
    ("missing", "stage"),
    [
        ("data/curated/card.json", "aigc curate"),
        ("data/evaluation/gan/metrics.json", "aigc evaluate gan"),
        ("data/finetuned/vae/scratch/curve.csv", "aigc finetune vae"),
        ("data/augmented/sheet.png", "aigc augment"),
    ],
)
def test_what_is_missing_is_named_with_the_stage_to_run(paths, missing, stage):
    (paths.root / missing).unlink()
    with pytest.raises(DataError, match=stage):
        report(Config(), paths)
    assert not paths.report.exists()


def test_the_page_shows_what_the_codes_do_and_the_bound_where_it_was_asked(paths, made):
    text = made.report.read_text()
    assert "Of 64 dimensions 3 are active" in text
    assert text.count("Each row leads from one draw to another") == 2
    assert text.count("What the most active dimensions do") == text.count("rebuilt from its code") == 1
    assert "importance-weighted bound" not in text
    name = "iw_bound_bernoulli_k500"
    asked = {name: -88.125, f"{name}_low": -89, f"{name}_high": -87.5}
    write_json(paths.evaluation("vae") / "metrics.json", {**METRICS, **asked})
    report(Config(), paths)
    said = "importance-weighted bound -88.12 nats per held-out image (-89.00 to -87.50; k 500, bernoulli, images drawn black and white)"
    assert said in paths.report.read_text()


def fitness(missed):
    distances = {
        "blur": [2.0, 3.0, 4.0],
        "noise": [0.9 if missed else 1.5, 2.0, 1.8 if missed else 2.5],
        "mixture <of>": [1.75],
    }
    names = ["noise: weak farther than undamaged", "noise: strong farther than medium"] if missed else []
    rises = {"blur": [True] * 3, "noise": [not missed, True, not missed], "mixture <of>": [True]}
    return {"fit": not missed, "rises": rises, "ordered": 7 - len(names), "pairs": 7, "missed": names, "n": 150, "dimensions": 8,
            "undamaged": 1.0, "distances": distances, "left_out": {"missing classes": "there is <one>"}}  # fmt: skip


@pytest.mark.parametrize("missed", [False, True])
def test_the_page_shows_how_the_instrument_did_with_known_damages(paths, missed):
    labels = {"accuracy": 0.281, "chance": 0.125, "rows": 2000, "by_looks": False}
    told = {
        "learn": "auto",
        "learnt_from": "views",
        "labels": labels,
        "tried": {"views": fitness(missed)},
    }
    write_json(paths.extractor / "extractor.json", {"hash": "e" * 64, "instrument": told})
    report(Config(), paths)
    text = paths.report.read_text()
    page_read = Page(text)
    assert (page_read.open, "instrument" in page_read.ids) == ([], True)
    assert page_read.anchors <= page_read.ids
    section = text[text.index('<h3 id="instrument">') : text.index("<h3>Second opinions</h3>")]
    for piece in (
        "28.1%",
        "12.5%",
        f"{5 if missed else 7} of 7",
        "1.75\u00d7",
        "mixture &lt;of&gt;",
        "missing classes, because there is &lt;one&gt;",
    ):
        assert piece in section, piece
    assert re.search(rf'noise</th>.*"n">{1 if missed else 3} of 3<', section)
    assert (section.count('class="failed"'), "noise: strong farther than medium" in section) == (2 * missed, missed)
    warning = "no instrument is fit for this data"
    header = text[: text.index("</header>")]
    assert header.count(warning) == missed
    assert text.lower().count(warning) == 2 * missed, "at the top, and where the distance is read"


@pytest.mark.parametrize("way", ["views", "nothing"])
def test_the_two_halves_of_what_judges_are_no_second_opinion(paths, way):
    told = {"learn": "auto", "learnt_from": way, "labels": None, "tried": {way: fitness(False)}}
    write_json(paths.extractor / "extractor.json", {"hash": "e" * 64, "instrument": told})
    report(Config(), paths)
    text = paths.report.read_text()
    section = text[text.index("<h3>Second opinions</h3>") :]
    assert ("two halves of the domain extractor" in section) == (way == "nothing")
    assert ("decide nothing.</caption>" in section) == (way == "views")


def test_an_extractor_of_another_version_is_named(paths):
    tried = {"labels": {name: value for name, value in fitness(False).items() if name != "rises"}}
    told = {"learn": "auto", "learnt_from": "labels", "labels": None, "tried": tried}
    write_json(paths.extractor / "extractor.json", {"hash": "e" * 64, "instrument": told})
    with pytest.raises(DataError, match="aigc extractor"):
        report(Config(), paths)


def test_repeated_held_out_images_are_counted_beside_copies():
    def said(copies, repeated):
        return measures.left_out_words({"figures": {"held_out_copies": copies, "held_out_repeated": repeated}})

    assert said(0.0, 0.0) == ""
    assert said(0.0, 1.0).startswith("1 held-out image is equal")
    assert said(2.0, 1234.0).startswith(said(2.0, 0.0))
    assert said(2.0, 1234.0).endswith(said(0.0, 1234.0))
    assert "1,234" in said(2.0, 1234.0)
    plain = measures.left_out_words({"figures": {"held_out_plain": 1.0, "train_plain": 30.0}})
    assert plain.startswith("1 held-out image is of one colour")
    assert "30 training images are of one colour" in plain


def test_without_labels_the_page_says_what_needs_them(paths, capsys):
    bare = {name: value for name, value in METRICS.items() if not name.startswith("cas")}
    for family in FAMILIES:
        write_json(paths.evaluation(family) / "metrics.json", bare)
        details = paths.evaluation(family) / "details"
        known = json.loads((details / "facts.json").read_text())
        write_json(details / "facts.json", {**known, "need_labels": ["cas", "agreement"], "worst_class": {}})
        write_json(paths.pretrained(family) / "not_run.json", {"why": "it needs two classes"})
        write_json(paths.finetuned(family) / "not_run.json", {"why": "it needs two classes"})
        write_json(paths.evaluation_finetune(family) / "metrics.json", {})
        write_json(paths.evaluation_finetune(family) / "details/not_run.json", {"why": "it needs two classes"})
    report(Config(), paths)
    text = paths.report.read_text()
    assert Page(text).open == []
    assert text.count("needs labels") == 2 * len(FAMILIES), "cas and agreement, by family"
    assert text.count("it needs two classes.") == len(FAMILIES)
    assert "no accuracy to learn from them" in text
    summary(Config(), paths)
    printed = capsys.readouterr().out
    assert printed.count("needs labels") == len(FAMILIES)
    assert "fine-tuned" not in printed


def test_numbers_from_different_yardsticks_are_refused(paths):
    place = paths.evaluation("gan") / "details/facts.json"
    write_json(place, {**json.loads(place.read_text()), "reference_hash": "other"})
    with pytest.raises(DataError, match=r"differ in test images \(reference_hash\)"):
        report(Config(), paths)


def test_the_final_model_is_shown_with_the_numbers_of_the_evaluated_one(made, paths):
    text = made.report.read_text()
    assert text.count("steps on the target in both cases, mode <code>scale_shift</code>.") == 2
    section = text[text.index('<section id="final">') : text.index('<section id="finetuning">')]
    for piece in ("on all 84 kept images", "Not evaluated &lt;itself&gt;.", "1.14 times what real images get", "copies suspected",
                  "Twins &lt;here&gt;<", "-4.250"):  # fmt: skip
        assert piece in section, piece
    write_json(paths.final / "final.json", {"made": False, "why": "the vae is withheld (copies)"})
    report(Config(), paths)
    text = paths.report.read_text()
    assert "There is none: the vae is withheld (copies)." in text
    (paths.final / "final.json").unlink()
    with pytest.raises(DataError, match=r"final/final\.json is missing: run `aigc final` first"):
        report(Config(), paths)


def test_summary_prints_what_was_found_and_where_to_look(made, capsys):
    summary(Config(), made)
    printed = " ".join(capsys.readouterr().out.split())
    for piece in ("left out: videos 2 (<.mp4>)", "1 corrupt, 1 blank", "corrupt 1/1", "label_flip 0/1", "100 steps on 80 images", "15 parameters", "the GAN again, on all 84 images but the reference; copies suspected",
                  "0.900 (0.950)", "none seen", "The study is switched off.", ".work/report/report.html", "http://127.0.0.1:3000", "http://127.0.0.1:5000"):  # fmt: skip
        assert piece in printed, piece


def test_a_reason_with_two_actions_is_counted_by_action():
    line = {"source": "x", "reason": "blank", "measure": "std"}
    actions = [("a", "inform"), ("b", "quarantine"), ("c", "quarantine"), ("d", "warn")]
    table = pa.Table.from_pylist([{**line, "id": i, "action": action} for i, action in actions], VERDICT_SCHEMA)
    blank, dark = facts.reason_table(table, {"blank": "nothing", "dark": "too dark"}, 8, {"dark": {"action": "warn"}})
    assert (blank["action"], blank["rows"], blank["share"]) == ("inform, quarantine, warn", 4, 0.5)
    assert (dark["action"], dark["rows"]) == ("warn", 0)
    data = {"reasons": [blank, dark], "read": 8, "kept": 6, "quarantined": 2, "planted": [],
            "source": {}, "gate": {"checks": []}}  # fmt: skip
    told = dict(found_lines(data))
    assert (told["quarantined"], told["warned of"]) == ("2 (2 blank)", "1 blank")


# -- the words --------------------------------------------------------------------------------------


def test_inside_the_spread_of_the_floor_one_run_cannot_tell():
    assert "one run cannot tell" in verdict.judge({"gan": metrics(fd=0.40)}).headline
    assert "cannot tell" not in verdict.judge({"gan": metrics(fd=0.60)}).headline
    assert "1.71 times what real images get" in verdict.judge({"gan": metrics(fd=0.60)}).headline


def test_a_withheld_model_never_leads():
    better, worse = metrics(fd=0.40, memorization_passed=0.0), metrics(fd=0.60)
    assert verdict.judge({"gan": better, "vae": worse}).headline.startswith("The VAE's")
    assert verdict.judge({"gan": metrics(fd=0.40), "vae": worse}).headline.startswith("The GAN's")


def test_below_the_floor_is_not_called_better_than_real():
    below = verdict.judge({"gan": metrics(fd=0.20)})
    assert "does not make them better" in below.headline
    assert any("at its limit" in sentence for sentence in below.sentences)
    assert not any("at its limit" in sentence for sentence in verdict.judge({"gan": metrics(fd=0.40)}).sentences)


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({}, "close"),
        ({"fd": 0.80}, "related"),
        ({"coverage": 0.80}, "related"),
        ({"cas": 0.90}, "related"),
        ({"fd": 2.0}, "far"),
        ({"coverage": 0.10}, "far"),
        ({"cas": 0.50}, "far"),
    ],
)
def test_the_worst_measure_sets_the_word(changes, word):
    assert verdict.grade(metrics(**changes)) == word


def apart(families, spreads):
    """A factor between two distances, in standard deviations of the difference of two trainings."""
    return math.exp(spreads * math.hypot(*(seeds.seed_spread(family) for family in families)))


def test_families_that_training_seeds_could_bring_so_far_apart_are_not_ranked():
    factor = apart(("gan", "vae"), 1.9)
    assert 0.40 * factor - 0.40 > 2 * METRICS["fd_floor_std"], "the floor's spread alone would rank them"
    near = verdict.judge({"gan": metrics(fd=0.40), "vae": metrics(fd=0.40 * factor)})
    assert any("too close for one run to rank" in sentence for sentence in near.sentences)
    clear = verdict.judge({"gan": metrics(fd=0.40 * apart(("gan", "vae"), 2.1)), "vae": metrics(fd=0.40)})
    assert clear.headline.startswith("The VAE")
    assert any("The GAN is behind in this run" in sentence for sentence in clear.sentences)


def test_few_samples_widen_what_one_training_can_tell():
    first, second = metrics(fd=0.40, fd_floor_std=0.0), metrics(fd=0.40 * apart(("gan", "gan"), 2.1), fd_floor_std=0.0)
    assert seeds.told_apart(first, second, ("gan", "gan"))
    few = {"fd_floor_std": 3 * seeds.seed_spread("gan") * 0.40}
    assert not seeds.told_apart({**first, **few}, {**second, **few}, ("gan", "gan"))
    assert not seeds.told_apart(first, first, ("gan", "gan"))
    assert seeds.told_apart({**first, "fd": 0.0}, second, ("gan", "gan"))


def test_an_unknown_family_has_the_widest_spread_between_seeds():
    assert seeds.seed_spread("other") == max(seeds.SEED_SPREAD.values())
    low, high = seeds.seed_range("gan", METRICS)
    assert low * high == pytest.approx(METRICS["fd_over_floor"] ** 2)
    assert f"{low:.2f} to {high:.2f}" in verdict.judge({"gan": METRICS}).headline


def test_a_small_pool_is_named_with_the_way_out():
    assert verdict.pool_words(METRICS, 1000) == ""
    said = verdict.pool_words(METRICS, 999)
    assert "999" in said
    assert "evaluate.max_samples: 499" in said
    least = verdict.LEAST_SAMPLES
    assert least == max(MIN_IMAGES, ROWS_PER_DIMENSION * MIN_DIMENSIONS), "fewer are refused"
    assert f"evaluate.max_samples: {least}" in verdict.pool_words(METRICS, 2 * least)
    assert "max_samples" not in verdict.pool_words(METRICS, 2 * least - 1)


def test_a_worst_class_is_named_only_where_real_images_do_not_get_there():
    worst = {"coverage": "b"}
    assert "class b" in measures.worst_words(METRICS, worst)
    usual = measures.worst_words(metrics(coverage_gap_worst=0.08), worst)
    assert usual.startswith("No class stands out")
    assert measures.worst_words(METRICS, {}) == ""


def test_accuracy_steps_back_where_looks_hardly_tell_the_labels():
    learnt = metrics(cas=0.20, cas_real=0.60, cas_chance=0.125)
    hardly = metrics(cas=0.20, cas_real=0.28, cas_chance=0.125)
    assert verdict.grade(learnt) == "far"
    assert verdict.grade(hardly) != "far"
    assert "says nothing" not in verdict.accuracy_words(learnt)
    assert "says nothing" in verdict.accuracy_words(hardly)
    assert "28.0%" in verdict.accuracy_words(hardly)


def test_accuracy_within_what_the_test_images_can_tell_is_called_that():
    assert "within what 500 test images can tell" in verdict.accuracy_words(metrics())
    assert "can tell" not in verdict.accuracy_words(metrics(cas=0.80))
    assert "can tell" not in verdict.accuracy_words(metrics(n=100_000))


def test_only_what_the_gate_withheld_is_a_caution_and_smooth_samples_are_called_that():
    near, far = ({"gan": {"nearest_rms_generated": value, "nearest_rms_held_out": 20.0}} for value in (5.0, 20.0))
    failed, reasons = metrics(memorization_passed=0.0), {"gan": ["7.9% are close, 0.4% by chance", "it prefers them"]}
    for details in (near, far):
        said = verdict.judge({"gan": failed}, details, reasons).sentences
        (caution,) = (sentence for sentence in said if "Caution" in sentence)
        assert "7.9% are close, 0.4% by chance; it prefers them." in caution
    assert any("Caution" in sentence for sentence in verdict.judge({"gan": failed}).sentences)
    smooth = " ".join(verdict.judge({"gan": METRICS}, near).sentences)
    assert "Caution" not in smooth
    assert "0.25 times as far" in smooth
    assert "times as far" not in " ".join(verdict.judge({"gan": METRICS}, far).sentences)


def test_finetuning_is_a_gain_only_outside_the_spread_between_seeds():
    near, far = 0.40 * apart(("gan", "gan"), 1.9), 0.40 * apart(("gan", "gan"), 2.1)
    assert "no difference" in verdict.judge_finetune("gan", metrics(fd=0.40), metrics(fd=near))
    assert "pre-training helped" in verdict.judge_finetune("gan", metrics(fd=0.40), metrics(fd=far, cas=0.8))
    assert "pre-training hurt" in verdict.judge_finetune("gan", metrics(fd=far, cas=0.8), metrics(fd=0.40))
    assert "the other way" in verdict.judge_finetune("gan", metrics(fd=0.40, cas=0.7), metrics(fd=far, cas=0.9))


def test_the_release_is_told_in_one_sentence():
    assert verdict.release_words({"gan": True, "vae": True}).startswith("Released: GAN and VAE;")
    assert verdict.release_words({"gan": False, "vae": False}).startswith("Not released: GAN and VAE.")


def test_every_verdict_says_that_seeds_were_not_varied():
    assert "trained once" in verdict.judge({"gan": METRICS}).sentences[-1]
    with pytest.raises(ValueError, match="at least one"):
        verdict.judge({})


def test_charts_are_the_same_bytes_and_take_the_colours_of_the_page():
    series = {"tuned & co": [(0.0, 1.0), (50.0, 0.5)], "scratch": [(0.0, 2.0), (50.0, 1.5)]}
    first = curves.line_chart(series, title="Loss <1>")
    assert first == curves.line_chart(series, title="Loss <1>")
    assert "var(--series-1)" in first
    assert "var(--series-2)" in first
    assert not re.search(r"#0102\d\d|<style|<metadata|font-family", first)
    assert "Loss &lt;1&gt;" in first
    assert "tuned &amp; co" in first
    with pytest.raises(ValueError, match="series"):
        curves.line_chart({}, title="none")


def test_a_row_that_is_quarantined_for_another_reason_is_not_shown_as_kept():
    line = {"source": "x", "measure": "std", "score": 0.5}
    table = pa.Table.from_pylist(
        [{**line, "id": "a", "reason": "dark", "action": "warn"},
         {**line, "id": "b", "reason": "dark", "action": "warn"},
         {**line, "id": "b", "reason": "blank", "action": "quarantine"}], VERDICT_SCHEMA)  # fmt: skip
    (dark,) = groups.warned(table, {"dark": "too dark"})
    assert [shown["id"] for shown in dark["lines"]] == ["a"]


def test_a_ratio_is_written_in_one_way():
    shown = {1.0: "1.00", 1.004: "1.004", 0.996: "0.996", 1.36: "1.36", 0.5: "0.50", 23.1: "23.1", 120.4: "120",
             1234.5: "1,234", 0.043: "0.043", 0.004: "0.004"}  # fmt: skip
    assert {value: ratio(value) for value in shown} == shown
    for value in (1.004, 1.36, 23.1, 120.4):
        assert words.times(-math.log(value)) == words.figure(math.log(value), "fd") == shown[value]
