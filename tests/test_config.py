"""A mistyped parameter is one sentence that names it and the nearest known one."""

import pytest

from aigc_core import config
from aigc_core.errors import AigcError, ConfigError
from aigc_core.quality.duplicates import FLOOR
from aigc_core.quality.reasons import REASONS
from aigc_core.registry import Registry


def test_a_typo_is_named_with_its_nearest_neighbour():
    with pytest.raises(ConfigError, match=r"'train\.batchsize'; did you mean 'batch_size'"):
        config.parse({"train": {"batchsize": 3}})


def test_an_unknown_section_is_refused():
    with pytest.raises(ConfigError, match=r"'sauce'.*did you mean 'source'"):
        config.parse({"sauce": {}})


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        ({"source": {"kind": "fodler"}}, "source.kind"),
        ({"source": {"limit": 0}}, "source.limit"),
        ({"digits": {"plant": {"blank": 1.5}}}, "digits.plant.blank"),
        ({"train": {"gan": {"steps": "many"}}}, "train.gan.steps"),
        ({"quality": {"blank": {"action": "delete", "max_std": 0.1}}}, "quality.blank.action"),
    ],
)
def test_a_refused_value_is_named(raw, name):
    with pytest.raises(ConfigError, match=name):
        config.parse(raw)


@pytest.mark.parametrize(
    ("written", "meant"), [("foldr", "folder"), ("parquets", "parquet"), ("Mix", "mix"), (3, None)]
)
def test_a_mistyped_kind_is_one_sentence_with_all_kinds_and_the_nearest(written, meant):
    with pytest.raises(ConfigError) as caught:
        config.parse({"source": {"kind": written}})
    said = str(caught.value)
    assert said.count("source.kind") == 1
    assert repr(written) in said
    assert all(kind in said for kind in ("digits", "idx", "folder", "parquet", "hf", "torchvision", "mix"))
    assert (f"did you mean {meant!r}" in said) == (meant is not None)


@pytest.mark.parametrize(
    ("own", "words"),
    [
        ({"reasons": ["blnk"]}, "'blnk' is no reason.*did you mean 'blank'.*out_of_domain"),
        ({"reasons": ["blank", "max_quarantined_share"]}, "'max_quarantined_share' is no reason"),
        ({"reasons": []}, "reasons.*at least 1 item"),
        ({"augment": []}, "augment.*at least 1 item"),
    ],
)
def test_a_decision_of_the_users_own_names_what_there_is_and_something(own, words):
    with pytest.raises(ConfigError, match=words):
        config.parse({"ablation": {"decisions": [{"name": "mine", **own}]}})
    config.parse({"ablation": {"decisions": [{"name": "mine", "reasons": list(REASONS)}]}})


def test_looks_are_not_held_to_a_number_of_seeds_that_was_refused_itself():
    with pytest.raises(ConfigError) as caught:
        config.parse({"ablation": {"seeds": 2, "looks": [8, 4]}})
    assert "ablation.looks" in str(caught.value)
    assert "inf" not in str(caught.value)


@pytest.mark.parametrize("rule", ["leak", "duplicate_near"])
def test_bounds_on_similarity_stand_in_order_and_not_below_what_measure_keeps(rule):
    own = getattr(config.Quality(), rule).model_dump()
    with pytest.raises(
        ConfigError, match=rf"quality\.{rule}.*min_similarity = 0\.995 is above max_similarity = 0\.993"
    ):
        config.parse({"quality": {rule: own | {"min_similarity": 0.995}}})
    config.parse({"quality": {rule: own | {"min_similarity": FLOOR}}})
    with pytest.raises(ConfigError, match=f"greater than or equal to {FLOOR}"):
        config.parse({"quality": {rule: own | {"min_similarity": FLOOR - 0.01}}})


def test_split_shares_must_add_up():
    with pytest.raises(ConfigError, match=r"add up to 1\.4"):
        config.parse({"split": {"train": 0.9}})


def test_a_preset_fills_what_stands_at_its_default_and_nothing_else():
    shown = config.Config().model_dump()  # as params.yaml, which names every value
    shown["train"] |= {"preset": "dcgan-mnist"}
    shown["train"]["gan"] |= {"learning_rate": 0.001}
    for raw in (shown, {"train": {"preset": "dcgan-mnist", "gan": {"learning_rate": 0.001}}}):
        train = config.parse(raw).train
        assert (train.network.architecture, train.network.latent, train.network.conv_width) == ("dcgan", 100, 64)
        assert (train.gan.beta1, train.gan.beta2, train.gan.conv_r1, train.gan.ema) == (0.5, 0.999, 0, 0)
        assert train.gan.learning_rate == 0.001, "the user's"
        assert train.vae == config.Vae()
        assert config.parse({"train": train.model_dump()}).train == train, "read again it is the same"
    assert config.parse({"train": {"preset": None}}).train == config.Train()
    for wrong in ("dcgan", ["dcgan-mnist"]):
        with pytest.raises(
            ConfigError, match=r"train\.preset = .* is refused: .*it may be dcgan-mnist, dcgan-r1-mnist$"
        ):
            config.parse({"train": {"preset": wrong}})
    with pytest.raises(ConfigError, match=r"train\.network"):
        config.parse({"train": {"preset": "dcgan-mnist", "network": 3}})


def test_class_names_may_look_like_numbers():
    assert config.parse({"finetune": {"classes": [5, "cat"]}}).finetune.classes == ["5", "cat"]


def test_missing_and_broken_files(tmp_path):
    with pytest.raises(ConfigError, match="does not exist"):
        config.load(tmp_path / "params.yaml")
    broken = tmp_path / "params.yaml"
    broken.write_text("source: [")
    with pytest.raises(ConfigError, match="not valid YAML"):
        config.load(broken)
    broken.write_text("- 1\n")
    with pytest.raises(ConfigError, match="must hold sections"):
        config.load(broken)


def test_errors_have_one_root_and_exit_codes_that_are_not_zero():
    def tree(kind):
        return [kind, *(child for sub in kind.__subclasses__() for child in tree(sub))]

    assert all(kind.exit_code > 0 for kind in tree(AigcError))


def test_registry_refuses_duplicates_and_lists_the_known():
    table: Registry[int] = Registry("thing")
    table.register("one")(1)
    with pytest.raises(ValueError, match="registered twice"):
        table.register("one")(2)
    with pytest.raises(ConfigError, match="unknown thing 'two': choose one of one"):
        table["two"]
