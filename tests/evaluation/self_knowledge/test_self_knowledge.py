"""Formats by snapshot, P(True), P(IK) and baselines against closed forms, on models made here."""

import math

import numpy as np
import pytest
import torch

from windtunnel.evaluation import evaluate
from windtunnel.evaluation.answers import match
from windtunnel.evaluation.prompting import few_shot
from windtunnel.evaluation.self_knowledge import formats
from windtunnel.evaluation.self_knowledge.answering import answering_task, gather
from windtunnel.evaluation.self_knowledge.baselines import (
    classes_of,
    mean_token_logprob,
    predictive_entropy,
    semantic_entropy,
    stuffed_logprob,
    verbalised_confidence,
)
from windtunnel.evaluation.self_knowledge.formats import (
    lettered_task,
    listed_task,
    none_of_the_above,
    partial_hint,
    question_prompt,
    true_false,
    true_false_task,
    worked_examples,
)
from windtunnel.evaluation.self_knowledge.mixed_arithmetic import mixed_arithmetic, with_choices
from windtunnel.evaluation.self_knowledge.p_ik import (
    ValueHead,
    fine_tune,
    fit_probe,
    last_tokens,
    predict,
    soft_cross_entropy,
)
from windtunnel.evaluation.self_knowledge.p_true import Proposal, p_true, proposals
from windtunnel.evaluation.self_knowledge.sharpening import ExpectedReward
from windtunnel.evaluation.self_knowledge.wording import wording_sha256
from windtunnel.evaluation.tasks import Sample
from windtunnel.inference.endings import Sample as Continuation
from windtunnel.inference.scoring import Score
from windtunnel.laboratory.errors import DataError, Unsupported, UsageError
from windtunnel.models.interface import from_module
from windtunnel.models.transformer import Transformer, TransformerConfig
from windtunnel.training.configuration import TrainingConfig

SKY = Sample("sky", "What colour is the sky?", 1, ("green", "blue", "red", "black"))


class Scripted:
    """A black box that scores and writes what it is told to."""

    name = "scripted"
    tokenizer = None

    def __init__(self, logprob=lambda prompt, text: -1.0, writes=lambda prompt, seed: "7"):
        self.logprob, self.writes, self.asked = logprob, writes, []

    @property
    def module(self):
        raise Unsupported("no inside")

    def score(self, prompts, continuations, *, batch_size=16):
        self.asked += list(zip(prompts, continuations, strict=True))
        return [
            Score([0], [self.logprob(prompt, text)], False) for prompt, text in zip(prompts, continuations, strict=True)
        ]

    def generate(self, prompts, *, seed, **options):
        self.asked += list(prompts)
        return [
            Continuation(self.writes(prompt, each), [1, 2], [-0.5, -0.25], "stop")
            for prompt, each in zip(prompts, seed, strict=True)
        ]


# --- the seven formats ---------------------------------------------------------------------------------------


def prompt_of(task):
    model = Scripted()
    results = evaluate(task, model)
    return results.records[0]["output"]["prompt"], [text for _, text in model.asked]


def test_the_words_are_the_ones_that_were_snapshot():
    assert wording_sha256() == SNAPSHOT["wording"]


def test_format_1_letters():
    prompt, options = prompt_of(lettered_task("sky", [SKY]))
    assert prompt == SNAPSHOT["lettered"]
    assert options == ["A", "B", "C", "D"]


def test_format_2_options_as_text():
    prompt, options = prompt_of(listed_task("sky", [SKY]))
    assert prompt == SNAPSHOT["listed"]
    assert options == [" green", " blue", " red", " black"]


def test_format_3_none_of_the_above():
    (changed,) = none_of_the_above([SKY])
    assert changed.choices == ("green", "blue", "red", "none of the above")
    assert changed.target == 1
    assert prompt_of(lettered_task("sky", [changed]))[0] == SNAPSHOT["none of the above"]
    with pytest.raises(DataError, match="fewer than two"):
        none_of_the_above([Sample("a", "?", "x")])


def test_format_4_true_or_false():
    right, wrong = true_false([SKY], seed=0)
    assert right.input == SNAPSHOT["true or false"]
    assert (right.target, wrong.target) == (0, 1)
    assert right.cluster == wrong.cluster == "sky"
    assert wrong.metadata["proposed"] in {"green", "red", "black"}
    prompt, options = prompt_of(true_false_task("sky", [SKY]))
    assert prompt == SNAPSHOT["true or false"] + " ("
    assert options[:2] == ["A", "B"]


def test_format_5_brainstormed():
    proposal = Proposal("sky", "What colour is the sky?", "blue", ("blue", "grey", "blue", "red", "black"))
    assert proposal.prompt() == SNAPSHOT["brainstormed"]
    assert proposal.leaks == 2


@pytest.mark.parametrize("ideas", [False, True])
def test_format_6_behind_six_worked_examples(ideas):
    shown = worked_examples(ideas)
    assert "".join("A" if right else "B" for _, right in shown) == "BAAABB"
    model = Scripted()
    judged = Proposal("sky", "What colour is the sky?", "blue", ("blue",) * 5 if ideas else None)
    p_true(model, [judged])
    prompt, letter = model.asked[0]
    assert letter == "A"
    assert (
        prompt
        == "\n\n".join([*(f"{asked} ({'A' if right else 'B'})" for asked, right in shown), judged.prompt()]) + " ("
    )
    assert shown[0][0] == SNAPSHOT["worked with ideas" if ideas else "worked"]


def test_format_7_behind_other_items_and_never_the_same():
    pool = [Proposal(f"q{n}", f"What is {n}?", str(n), right=n % 2 == 0) for n in range(8)]
    model = Scripted()
    p_true(model, pool, examples=pool, shots=7)
    for one, (prompt, _) in zip(pool, model.asked[::2], strict=True):
        before, mark, _ = prompt.rpartition("\n\nQuestion")
        assert mark
        assert f"What is {one.question[1:]}?" not in before
        assert before.count("Proposed Answer") == 7
        for other in pool:
            if other is not one:
                assert f"{other.prompt()} ({'A' if other.right else 'B'})" in before
    with pytest.raises(DataError, match="shots"):
        p_true(model, pool, examples=pool, shots=8)
    with pytest.raises(DataError, match="right"):
        p_true(model, pool[:1], examples=[Proposal("a", "b", "c")], shots=1)


def test_sources_hints_and_confidence():
    assert question_prompt("Who?", source="A page.") == SNAPSHOT["source"]
    assert question_prompt("Who?", hint="Think.") == SNAPSHOT["hint"]
    assert formats.confidence_prompt("Who?") == SNAPSHOT["confidence"]
    assert [partial_hint("a b c d", share) for share in (0, 0.5, 1)] == ["", "a b", "a b c d"]
    with pytest.raises(UsageError, match="fraction"):
        partial_hint("a", 2)


SNAPSHOT = {
    "wording": "5cae7ea98fbd53a5b228ed7fc0049582e4a8608152957dd7e71526be4a11909e",
    "lettered": ("Question: What colour is the sky?\nChoices:\n (A) green\n (B) blue\n (C) red\n (D) black\nAnswer: ("),
    "listed": ("Question: What colour is the sky?\nchoice: green\nchoice: blue\nchoice: red\nchoice: black\nAnswer:"),
    "none of the above": (
        "Question: What colour is the sky?\nChoices:\n (A) green\n (B) blue\n (C) red\n (D) none of the above\n"
        "Answer: ("
    ),
    "true or false": (
        "Question: What colour is the sky?\nProposed Answer: blue\nIs the proposed answer:\n (A) True\n (B) False\n"
        "The proposed answer is:"
    ),
    "brainstormed": (
        "Question: What colour is the sky?\nHere are some brainstormed ideas: blue\ngrey\nblue\nred\nblack\n"
        "Possible Answer: blue\nIs the possible answer:\n (A) True\n (B) False\nThe possible answer is:"
    ),
    "worked": (
        "Question: What is 6 times 9?\nProposed Answer: 56\nIs the proposed answer:\n (A) True\n (B) False\n"
        "The proposed answer is:"
    ),
    "worked with ideas": (
        "Question: What is 6 times 9?\nHere are some brainstormed ideas: 54\n56\n54\n63\n54\nPossible Answer: 56\n"
        "Is the possible answer:\n (A) True\n (B) False\nThe possible answer is:"
    ),
    "source": (
        "Here is some background information material: A page.\nNow, answer the following question.\nQuestion: Who?\n"
        "Answer:"
    ),
    "hint": "Question: Who?\nHere is a hint: Think.\nAnswer:",
    "confidence": "Question: Who?\nWith what confidence could you answer this question?\nConfidence:",
}


# --- P(True) -------------------------------------------------------------------------------------------------


def test_p_true_is_renormalised_over_the_two_letters():
    model = Scripted(lambda prompt, letter: math.log(0.3 if letter == "A" else 0.1))
    (found,) = p_true(model, [Proposal("a", "?", "x")])
    assert found.probability == pytest.approx(0.75)
    assert found.mass == pytest.approx(0.4)


def test_the_judged_answer_is_among_the_ideas():
    questions = [("a", "What?"), ("b", "Who?")]
    answers = [["1", "2", "1", "3", "1", "4"], ["x"] * 6]
    made = proposals(questions, answers, [[True] * 6, [False] * 6], brainstorm=True, place=1)
    assert made[0].answer == "2"
    assert made[0].ideas == ("1", "2", "1", "3", "1")
    assert (made[0].leaks, made[1].leaks) == (1, 5)
    assert (made[0].right, made[1].right) == (True, False)
    with pytest.raises(UsageError, match="one of the first 5"):
        proposals(questions, answers, brainstorm=True, place=5)
    with pytest.raises(UsageError, match="apart"):
        p_true(Scripted(), [made[0], Proposal("c", "?", "x")])


# --- answers and baselines -----------------------------------------------------------------------------------


def test_answers_are_sampled_by_the_engine_and_gathered():
    samples = mixed_arithmetic(6, seed=0)
    answers = {sample.input: sample.target for sample in samples}

    def writes(prompt, seed):
        asked = prompt.rpartition("Question: ")[2].partition("\n")[0]
        return f" {answers[asked]}" if seed % 3 else " wrong"

    pool = mixed_arithmetic(12, seed=5)
    task = answering_task("sums", samples, match("number"), shots=few_shot(pool, 2, seed=1))
    found = gather(evaluate(task, Scripted(writes=writes), epochs=8))
    assert found.names == [sample.id for sample in samples]
    assert found.right.shape == found.logprobs.shape == (6, 8)
    assert 0.2 < found.known.mean() < 1
    assert (found.logprobs == -0.75).all()
    assert (found.lengths == 2).all()
    right = np.array([[kind != "wrong" for kind in kinds] for kinds in found.kinds()])
    assert (found.right == right).all()


def test_entropies_by_hand():
    logprobs = np.log([[0.5, 0.25, 0.5, 0.25], [0.9, 0.9, 0.9, 0.9]])
    assert predictive_entropy(logprobs) == pytest.approx(-logprobs.mean(axis=1))
    assert mean_token_logprob([-2.0, -3.0], [2, 1]) == pytest.approx([-1.0, -3.0])
    with pytest.raises(DataError, match="without tokens"):
        mean_token_logprob([-1.0], [0])
    classes = [["a", "a", "b", "b"], ["c", "c", "c", "c"]]
    assert semantic_entropy(classes) == pytest.approx([math.log(2), 0.0])
    shares = np.array([2 / 3, 1 / 3])
    unequal = semantic_entropy([["a", "b", "a", "b"]], np.log([[0.5, 0.25, 0.5, 0.25]]))
    assert unequal == pytest.approx([-(shares * np.log(shares)).sum()])
    assert classes_of(["4", "four", "5"], lambda one, other: {one, other} <= {"4", "four"} or one == other) == [0, 0, 1]


def test_confidence_in_words_is_the_mean_of_its_levels():
    sure = Scripted(lambda prompt, level: 0.0 if level == " 70%" else -50.0)
    assert verbalised_confidence(sure, ["Who?", "What?"]) == pytest.approx([0.7, 0.7])
    assert verbalised_confidence(Scripted(), ["Who?"]) == pytest.approx([0.5])


def test_many_answers_in_one_context():
    model = Scripted(lambda prompt, text: -float(len(text)))
    assert stuffed_logprob(model, ["Q:"], [["1", "22"]]) == pytest.approx([-float(len(" 1\n 22\n"))])


def test_arithmetic_has_one_right_number():
    samples = mixed_arithmetic(50, seed=3, digits=(1, 4))
    assert len({sample.input for sample in samples}) == 50
    assert any("," in str(sample.input) for sample in samples)
    signs = {"plus": "+", "minus": "-", "times": "*"}
    for sample, chosen in zip(samples, with_choices(samples, 0), strict=True):
        text = str(sample.input).removeprefix("What is ").removesuffix("?").replace(",", "")
        for word, sign in signs.items():
            text = text.replace(word, sign)
        one, sign, other = text.split()
        value = {"+": int(one) + int(other), "-": int(one) - int(other), "*": int(one) * int(other)}[sign]
        assert sample.target == str(value)
        assert chosen.choices[chosen.target] == str(value)
        assert len(set(chosen.choices)) == 4
    with pytest.raises(UsageError, match="fewer"):
        mixed_arithmetic(301, seed=0, digits=(1, 1))
    with pytest.raises(UsageError, match="plus"):
        mixed_arithmetic(1, seed=0, operations=("over",))


# --- P(IK) ---------------------------------------------------------------------------------------------------


def small_model(seed=0):
    shape = TransformerConfig(vocabulary=20, context=8, layers=2, width=16, heads=2)
    return from_module(Transformer(shape, torch.Generator().manual_seed(seed)))


def test_thirty_hard_labels_are_one_soft_label():
    logits = torch.linspace(-4, 4, 9, dtype=torch.float64)
    for count in (0, 7, 30):
        hard = torch.cat([torch.ones(count), torch.zeros(30 - count)]).double()
        each = torch.nn.functional.binary_cross_entropy_with_logits(
            logits[:, None].expand(-1, 30), hard.expand(9, -1), reduction="none"
        )
        soft = soft_cross_entropy(logits, torch.full((9,), count / 30, dtype=torch.float64))
        assert (each.mean(dim=1) - soft).abs().max() < 1e-12


def test_last_tokens_are_those_of_each_prompt_alone():
    model = small_model()
    prompts = [[1, 2, 3], [4], [5, 6, 7, 8, 9], [1, 1]]
    sites = ["blocks.0.hook_resid_post", "ln_final.hook_out"]
    found = last_tokens(model, prompts, sites, batch_size=3)
    for row, prompt in enumerate(prompts):
        with model.record(*sites) as alone:
            model(torch.tensor([prompt]))
        for site in sites:
            assert torch.allclose(found[site][row], alone[site][0, -1], atol=1e-5)
    with pytest.raises(UsageError, match="no token"):
        last_tokens(model, [[]], sites)


def test_a_probe_finds_the_planted_direction():
    draws = np.random.default_rng(0)
    inputs = draws.normal(size=(600, 10)) * np.arange(1, 11)
    truth = 1 / (1 + np.exp(-(inputs[:, 2] / 3 - inputs[:, 5] / 6 + 0.5)))
    shares = draws.binomial(30, truth) / 30
    probe = fit_probe(inputs[:400], shares[:400])
    assert np.corrcoef(probe(inputs[400:]), truth[400:])[0, 1] > 0.98
    assert abs(probe(inputs[400:]) - truth[400:]).mean() < 0.05
    nothing = fit_probe(inputs[:400], draws.permutation(shares[:400]))
    assert abs(np.corrcoef(nothing(inputs[400:]), truth[400:])[0, 1]) < 0.25
    from sklearn.linear_model import LogisticRegression

    hard = (draws.random(400) < truth[:400]).astype(float)
    ours = fit_probe(inputs[:400], hard, penalties=(1e-2,))
    theirs = LogisticRegression(C=1 / (1e-2 * 400), tol=1e-8, max_iter=10_000)
    theirs.fit((inputs[:400] - ours.mean) / ours.scale, hard)
    assert ours.weight == pytest.approx(theirs.coef_[0], abs=1e-3)
    for wrong in ([0.5] * 9, [1.5] * 20):
        with pytest.raises(DataError):
            fit_probe(np.zeros((len(wrong), 2)), wrong)


def test_the_whole_model_learns_under_its_head():
    model = small_model()
    draws = np.random.default_rng(1)
    prompts = [[int(a), int(b), *([3] * int(c))] for a, b, c in draws.integers(1, 20, (120, 3)) % [20, 20, 3]]
    shares = np.array([0.9 if prompt[0] < 10 else 0.1 for prompt in prompts])
    before = model.module.embedding.weight.clone()
    training = TrainingConfig(steps=60, batch_size=32, learning_rate=3e-3, warmup_steps=5, precision="fp32")
    head = fine_tune(model, prompts, shares, training)
    assert isinstance(head, ValueHead)
    assert not torch.equal(before, model.module.embedding.weight)
    said = predict(head, model, prompts)
    assert abs(said - shares).mean() < 0.1
    alone = predict(head, model, prompts[:1])
    assert alone[0] == pytest.approx(said[0], abs=1e-4)
    with pytest.raises(DataError, match="shares"):
        fine_tune(model, prompts, shares[:3], training)


def test_a_black_box_is_told_so():
    with pytest.raises(Unsupported, match="P\\(True\\)"):
        last_tokens(Scripted(), ["Who?"], ["ln_final.hook_out"])


def test_expected_reward_is_the_policy_gradient():
    model = small_model().module
    tokens = torch.tensor([[5, 6, 7, 1], [8, 9, 4, 2]])
    loss, count = ExpectedReward(range(4))(model, {"tokens": tokens})
    policy = torch.softmax(model(tokens[:, :-1])[:, -1, :4], dim=1)
    assert loss.item() == pytest.approx(-(policy[0, 1] + policy[1, 2]).item(), abs=1e-6)
    assert float(count) == 2
    gradient = torch.autograd.grad(loss, model.embedding.weight, retain_graph=True)[0]
    # REINFORCE: the reward-weighted gradient of log-probabilities, averaged over the policy's own draws
    weighted = (policy.detach() * policy.log())[torch.arange(2), tokens[:, -1]].sum()
    assert torch.allclose(gradient, torch.autograd.grad(-weighted, model.embedding.weight)[0], atol=1e-6)
