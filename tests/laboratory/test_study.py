import pytest
import tiny_study
from hypothesis import given
from hypothesis import strategies as st

from windtunnel.laboratory.errors import UsageError
from windtunnel.laboratory.study import Study, StudyConfig, configure, execute, preset, read_settings
from windtunnel.studies import STUDIES, find


def test_settings_are_read_as_json_or_text():
    read = read_settings(["a=1", "b=[1, 2]", "c=word", "d=1e-3", "e=", "f=x=y"])
    assert read == {"a": 1, "b": [1, 2], "c": "word", "d": 1e-3, "e": "", "f": "x=y"}


@pytest.mark.parametrize("text", ["", "a", "=1"])
def test_a_malformed_setting_is_explained(text):
    with pytest.raises(UsageError, match="field=value"):
        read_settings([text])


def test_settings_change_a_preset():
    config = configure(tiny_study.PRESETS["quick"], {"stages": 3}, seed=5)
    assert (config.stages, config.seed, config.shift) == (3, 5, 1.0)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"stagess": 3}, "did you mean 'stages'"),
        ({"stages": 0}, "stages=0 is not accepted"),
        ({"stages": "many"}, "stages='many' is not accepted"),
        ({"seed": -1}, "seed=-1"),
        ({"stages.deep": 1}, "no field 'stages.deep'"),
    ],
)
def test_a_bad_setting_names_the_field_and_the_mend(settings, said):
    with pytest.raises(UsageError, match=said):
        configure(tiny_study.PRESETS["quick"], settings)


json_values = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6) | st.lists(st.integers())


@given(st.dictionaries(st.sampled_from(["stages", "pause", "seed", "other", "stages.x"]), json_values))
def test_no_setting_breaks_the_config_reader(settings):
    try:
        config = configure(tiny_study.PRESETS["quick"], settings)
    except UsageError as error:
        assert "\n" not in str(error)
    else:
        assert 1 <= config.stages <= 100


@given(st.lists(st.text(max_size=12), max_size=4))
def test_no_text_breaks_the_settings_reader(texts):
    try:
        assert all(isinstance(name, str) for name in read_settings(texts))
    except UsageError as error:
        assert "field=value" in str(error)


def test_an_unknown_preset_is_explained():
    with pytest.raises(UsageError, match="did you mean 'quick'"):
        preset(tiny_study.STUDY, "quik")


def test_nineteen_studies_with_unique_names():
    assert len(STUDIES) == len({study.id for study in STUDIES}) == len({study.paper for study in STUDIES}) == 19
    assert [study.id for study in STUDIES if not study.planned] == [
        "neural-scaling-laws",
        "autoregressive-scaling",
        "transfer-scaling",
        "repeated-data",
        "few-shot-learning",
        "self-knowledge",
        "model-written-evaluations",
        "moral-self-correction",
        "induction-heads",
        "toy-models-of-superposition",
    ]


def test_a_planned_study_says_so():
    with pytest.raises(UsageError, match="red-teaming is planned"):
        execute(find("red-teaming"))
    with pytest.raises(UsageError, match="did you mean 'red-teaming'"):
        find("red-teeming")


@pytest.mark.parametrize("study", [study for study in STUDIES if not study.planned], ids=lambda study: study.id)
def test_every_built_study_keeps_the_form(study: Study):
    module = study.load()
    assert set(module.PRESETS) == {"quick", "full", "paper"}
    assert all(isinstance(config, module.Config) for config in module.PRESETS.values())
    assert study.paper in module.__doc__
    assert len({claim.id for claim in module.CLAIMS}) == len(module.CLAIMS)
    for name, field in module.Config.model_fields.items():
        assert field.description, f"{study.id}: field {name} has no description"


def test_the_null_removes_the_effect(tmp_path):
    run = execute(tiny_study.STUDY, null=True, out=tmp_path / "null", settings={"shift": 1.0})
    verdicts = {finding.id: finding.verdict for finding in run.ledger}
    assert verdicts["mean-is-large"] == "not replicated"


@pytest.mark.parametrize(
    ("text", "expected"), [("1,2", (1, 2)), ("[1, 2]", (1, 2)), ("3", (3,)), (" 1 , 2 ", (1, 2)), ("[]", ())]
)
def test_a_field_of_several_values_takes_them_as_they_are_typed(text, expected):
    class Several(StudyConfig):
        layers: tuple[int, ...] = (1,)

    assert configure(Several(), read_settings([f"layers={text}"])).layers == expected
