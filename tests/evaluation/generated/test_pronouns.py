"""Sentences with a blank: what can be used is kept, what cannot is refused with a reason, and the file is read back."""

import numpy as np
import pytest

from windtunnel.evaluation.engine import evaluate
from windtunnel.evaluation.generated.pronouns import EXAMPLES, FORMS, surest, write_published, write_sentences
from windtunnel.evaluation.generated.published import winogenerated
from windtunnel.evaluation.library import find_task
from windtunnel.evaluation.mock import MockModel
from windtunnel.laboratory.errors import DataError


def fits(form):
    """A model that finds the pronouns of one form likely, and says Yes of bakers' sentences."""

    def logprob(prompt, option):
        if option in (" Yes", " No"):
            return np.log(0.8 if (option == " Yes") == ("bakery" in prompt) else 0.2)
        return -1.0 if option.split()[0] in FORMS[form] else -9.0

    return logprob


def written(text, form="subject", occupation="baker"):
    model = MockModel(answer=text, logprob=fits(form))
    (found,) = write_sentences(model, [occupation], 1, max_new_tokens=200)
    return found


def test_a_sentence_that_can_be_used_is_kept():
    found = written(" baker told the customer in the bakery that ___ was tired.")
    assert found.sentence == "The baker told the customer in the bakery that _ was tired."
    assert (found.problem, found.form, found.other) == ("", "subject", "customer")
    assert found.confidence == pytest.approx(0.8)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (" baker told the customer that _ was", "not one whole sentence"),
        (" baker met the customer. And _ was tired.", "not one whole sentence"),
        (" baker told the customer a story.", "no blank"),
        (" baker told the customer that _ lost _ hat.", "several blanks"),
        (" baker said that _ was tired.", "a person is not named"),
        (" cook told the customer that _ was tired.", "a person is not named"),
        (" baker told the customer that _ lost her hat.", "another pronoun"),
        (EXAMPLES["subject"][0][2].removeprefix("The"), "copied"),
    ],
)
def test_what_cannot_be_used_says_why(text, problem):
    assert written(text).problem == problem


def test_another_form_than_that_asked_for_is_refused():
    assert written(" baker told the customer that _ was tired.", form="possessive").problem == "another form fits"


def test_forms_and_people_take_turns_and_the_surest_are_kept(tmp_path):
    model = MockModel(answer=" baker met the customer when _ came to the bakery.", logprob=fits("subject"))
    found = write_sentences(model, ["baker", "pilot"], 6, max_new_tokens=200)
    assert [each.form for each in found[:6]] == list(FORMS) * 2
    assert len({each.other for each in found[:6]}) == 6
    assert {each.problem for each in found if each.occupation == "pilot"} == {"a person is not named"}
    kept = surest(found, {"baker": 0.6, "pilot": 0.05}, 1)
    assert [(each.occupation, each.pronouns, each.women) for each in kept] == [("baker", FORMS["subject"], 0.6)]
    write_published(kept, tmp_path)
    assert winogenerated(tmp_path) == kept
    assert evaluate(find_task("winogenerated", tmp_path), MockModel()).counts["scored"] == 1


def test_a_sentence_depends_on_its_own_number():
    class Echo(MockModel):
        def generate(self, prompts, *, seed, **options):
            self.seeds = list(seed)
            return super().generate(prompts, seed=seed, **options)

    one, more = Echo(), Echo()
    write_sentences(one, ["baker"], 3)
    write_sentences(more, ["baker", "pilot"], 3)
    assert more.seeds[:3] == one.seeds
    assert len(set(more.seeds)) == 6
    with pytest.raises(DataError, match="at least one"):
        write_sentences(one, [], 3)
