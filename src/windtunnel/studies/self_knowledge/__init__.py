"""Language Models (Mostly) Know What They Know (Kadavath et al., 2022; arXiv:2207.05221).

Small models read a world in which every fact is told a known number of times, so that the probability with which each
will answer a question rightly is known exactly. A value head on their last token has to say it: on entities it has not
seen, on a relation it has not seen, behind sources that are right, wrong or beside the point, and for another model
than its own. The models judge their own answers, with and without brainstormed ones. Others learn problems of several
steps, and a head that never saw a hint has to say what a hint does for them; or lettered questions with planted doubt,
which are asked with "none of the above" for an option, sharpened by reward, and repaired by one temperature. With
`--model` the formats, P(True), the baselines and a frozen P(IK) probe are measured on arithmetic asked of a given
model, or all but the formats on another task.
"""

from typing import Self

from pydantic import Field, model_validator

from windtunnel.laboratory.claims import AtLeast, AtMost, Between, Claim
from windtunnel.laboratory.run import Run
from windtunnel.laboratory.study import StudyConfig


class Config(StudyConfig):
    """What is learned, what is asked, and of whom."""

    organisms: int = Field(3, ge=2, le=100, description="models of one world, each with exposures of its own")
    entities: int = Field(160, ge=20, description="entities of the world")
    relations: int = Field(4, ge=3, description="relations; the last is kept from the heads")
    answers: int = Field(16, ge=2, description="answers in each relation's set")
    exposures: tuple[int, ...] = Field((0, 1, 2, 4, 8, 16, 32, 64), min_length=2, description="relative frequencies")
    noise: float = Field(0.1, ge=0, lt=1, description="share of told answers that are random")
    passing: float = Field(4.0, ge=0, description="passes of each question, in the unit of exposures; 0: nobody passes")
    layers: int = Field(2, ge=2, description="transformer blocks; copying takes two")
    width: int = Field(64, ge=8, description="width of the residual stream")
    heads: int = Field(4, ge=1, description="heads per layer")
    steps: int = Field(1_200, ge=1, description="optimizer steps of an organism")
    batch_size: int = Field(48, ge=1, description="rows per step, each of up to six questions")
    learning_rate: float = Field(3e-3, gt=0, description="AdamW, constant and then linear over the last fifth")
    draws: int = Field(30, ge=2, description="sampled answers per question from which heads learn")
    judged_answers: int = Field(5, ge=1, le=5, description="own answers per fact that are judged without ideas")
    tuning_steps: int = Field(40, ge=1, description="steps of fine-tuning a model under a value head")
    tuning_rate: float = Field(1e-3, gt=0, description="a third of the learning rate, as in the paper")
    shuffles: int = Field(20, ge=2, description="shuffled labels on which a control head is fitted, per organism")
    hint_length: int = Field(4, ge=2, description="steps of the problems asked with hints")
    hint_steps: int = Field(1_200, ge=1, description="optimizer steps of learning problems and hints")
    hint_problems: int = Field(600, ge=10, description="problems that a head learns from, and problems asked")
    lettered: int = Field(3, ge=2, le=100, description="models of lettered questions, each of a world of its own")
    lettered_widths: tuple[int, ...] = Field((8, 16, 32), description="narrower models of them, for trends over size")
    items: int = Field(32, ge=4, description="items, and answers, of a lettered world")
    lettered_steps: int = Field(600, ge=1, description="steps of learning it")
    reward_steps: int = Field(150, ge=1, description="steps of reward for right letters")
    lettered_questions: int = Field(4_000, ge=100, description="questions measured; temperatures are fitted on half")
    given_task: str = Field("arithmetic", description="asked of a given model; or a ready task in words, as nq-open")
    given_questions: int = Field(40, ge=40, description="questions asked of a given model")
    given_samples: int = Field(5, ge=5, description="answers sampled to each")
    given_shots: int = Field(4, ge=0, description="examples before each")
    given_judging_shots: int = Field(8, ge=1, le=20, description="examples of few-shot P(True); the paper has 20")
    resamples: int = Field(500, ge=50, description="bootstrap resamples")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.width % self.heads:
            raise ValueError(f"width {self.width} is not divisible by heads {self.heads}")
        for width in self.lettered_widths:
            if not 0 < width < self.width or width % self.heads:
                raise ValueError(
                    f"lettered_widths {width} must be less than width {self.width} and divisible by heads {self.heads}"
                )
        return self


PRESETS = {
    "quick": Config(),
    "full": Config(
        organisms=4,
        entities=500,
        answers=20,
        layers=3,
        width=128,
        steps=6_000,
        batch_size=128,
        learning_rate=2e-3,
        tuning_steps=200,
        tuning_rate=7e-4,
        hint_length=6,
        hint_steps=6_000,
        hint_problems=2_000,
        lettered=5,
        lettered_widths=(8, 16, 32, 64),
        items=64,
        lettered_steps=3_000,
        reward_steps=300,
        lettered_questions=10_000,
        given_questions=200,
        given_samples=10,
        given_judging_shots=20,
        resamples=2_000,
    ),
    "paper": Config(
        organisms=8,
        entities=10_000,
        relations=8,
        answers=50,
        layers=12,
        width=768,
        heads=12,
        steps=100_000,
        batch_size=1_024,
        learning_rate=6e-4,
        tuning_steps=5_000,
        tuning_rate=2e-4,
        hint_length=8,
        hint_steps=30_000,
        hint_problems=10_000,
        lettered=8,
        lettered_widths=(24, 48, 96, 192, 384),
        items=1_000,
        lettered_steps=30_000,
        reward_steps=2_000,
        lettered_questions=20_000,
        given_questions=2_000,
        given_samples=30,
        given_shots=10,
        given_judging_shots=20,
        resamples=2_000,
    ),
}

FORMATS, TEMPERATURE, JUDGING, HEADS = "Section 3, Figures 4 to 6", "Section 3.3", "Section 4", "Section 5"
IDENTITY = False

KNOWN = [
    Claim(
        "metrics",
        "Calibration errors, Brier scores and AUROC of known predictors are exact.",
        "Section 2",
        AtMost(1e-9, "largest error"),
        IDENTITY,
    ),
    Claim(
        "floor",
        "A perfect predictor of 4,000 questions shows an error all the same.",
        "Section 2",
        Between(0.013, 0.019, "mean ECE"),
        IDENTITY,
    ),
    Claim(
        "duplication",
        "Thirty hard labels of a question have the loss of one soft label.",
        "Section 5.1",
        AtMost(1e-6, "nats, largest difference"),
        IDENTITY,
    ),
    Claim(
        "ceiling-auroc",
        "The best head ranks questions of uniform P(IK) by 30 samples so well.",
        HEADS,
        Between(0.982, 0.988, "AUROC"),
        IDENTITY,
    ),
    Claim("ceiling-brier", "And has such a Brier score.", HEADS, Between(0.088, 0.096, "Brier score"), IDENTITY),
    Claim(
        "temperature-recovered",
        "Logits sharpened 2.5 times are given back their temperature.",
        TEMPERATURE,
        Between(2.3, 2.7, "fitted temperature"),
        IDENTITY,
    ),
    Claim(
        "temperature-repairs",
        "That temperature repairs calibration on other questions.",
        TEMPERATURE,
        AtLeast(0.8, "of the ECE taken away"),
        IDENTITY,
    ),
]

ORGANISMS = [
    Claim(
        "knows",
        "A head on held-out entities says with what probability the model will answer rightly.",
        "Section 5.1",
        AtLeast(0.8, "correlation of P(IK) with the exact probability"),
    ),
    Claim(
        "separates",
        "It tells what the model knows from what it does not.",
        "Table 1",
        AtLeast(0.7, "AUROC, held-out entities with random names"),
    ),
    Claim(  # not an effect: a head that always says the mean is calibrated as well
        "calibrated", "It is calibrated there.", "Figures 11 and 12", AtMost(0.08, "ECE over 30 samples"), IDENTITY
    ),
    Claim(
        "unseen-relation",
        "On a relation it was not trained on it is not.",
        "Table 1, Figure 13",
        AtLeast(2, "times the ECE of known relations"),
    ),
    Claim(
        "more-relations",
        "Training on more relations makes it better on those.",
        "Table 1",
        AtMost(0, "Brier score, trained on all less trained on one"),
    ),
    Claim(
        "tuned",
        "Fine-tuning the whole model under the head works as well.",
        "Table 1",
        AtLeast(0.7, "AUROC, held-out entities"),
    ),
    Claim(
        "shuffled-labels", "On shuffled labels a head learns nothing.", HEADS, Between(0.47, 0.53, "AUROC"), IDENTITY
    ),
    Claim(
        "correct-source",
        "A source with the answer raises P(IK), untaught.",
        "Section 5.3",
        AtLeast(0.15, "rise of mean P(IK)"),
    ),
    Claim(
        "irrelevant-source",
        "A source beside the point does so less than half as much.",
        "Section 5.3",
        AtMost(0.5, "of the rise behind a correct one"),
    ),
    Claim(
        "longer-source",
        "The more a source says besides, the less it raises P(IK).",
        "Section 5.3",
        AtMost(-0.01, "P(IK) per statement"),
    ),
    Claim(
        "own-knowledge",
        "A model's P(IK) is higher where it alone is right than where only another is.",
        "Section 5.5, Table 2",
        AtLeast(0, "mean P(IK), lowest row"),
    ),
    Claim(
        "own-head",
        "Heads on a model's own states know its knowledge better than heads on another's.",
        "Section 5.5, Table 3",
        AtLeast(0, "AUROC, own less other, lowest row"),
    ),
    Claim(
        "p-true",
        "Where a model says that its answer is true it is right more often.",
        "Section 4.2",
        AtLeast(0.1, "accuracy above base where P(True) > 0.5"),
    ),
    Claim(
        "brainstorm",
        "Seeing its own other answers makes it judge better.",
        "Section 4.3",
        AtMost(0, "Brier score, with ideas less without"),
    ),
    Claim(  # not an effect: a judge that always says one half is calibrated as well
        "true-false",
        "Judging a right and a wrong answer of each question is calibrated.",
        "Section 3.2",
        AtMost(0.08, "ECE"),
        IDENTITY,
    ),
    Claim("entropy", "Low entropy of its answers is a sign of knowledge.", "Appendix B", AtLeast(0.6, "AUROC")),
]

HINTS = [
    Claim(
        "hints-raise",
        "The whole of a good hint raises P(IK), of heads that never saw one.",
        "Section 5.4",
        AtLeast(0.1, "rise of mean P(IK)"),
    ),
    Claim(
        "good-hints",
        "A good hint raises it more than one with a mistake.",
        "Section 5.4",
        AtLeast(0, "mean P(IK), good less mistaken hint"),
    ),
    Claim(
        "irrelevant-hints",
        "A hint of another problem lowers it.",
        "Section 5.4",
        AtMost(0, "mean P(IK), with the hint less without"),
    ),
]

LETTERED = [
    Claim(  # not an effect: guessing that says one in four is calibrated as well
        "lettered-calibrated", "On lettered questions models are calibrated.", FORMATS, AtMost(0.08, "ECE"), IDENTITY
    ),
    Claim(
        "nota-accuracy",
        '"None of the above" as an option lowers accuracy.',
        "Section 3.1, Figure 6",
        AtLeast(0.05, "accuracy lost"),
    ),
    Claim("nota-calibration", "It harms calibration.", "Section 3.1, Figure 6", AtLeast(0.02, "ECE gained")),
    Claim(
        "calibration-with-size",
        "Calibration improves with size.",
        "Section 3.2, Figure 4",
        AtMost(-0.01, "ECE per decade of N"),
    ),
    Claim("reward-sharpens", "Reward for right answers harms calibration.", TEMPERATURE, AtLeast(0.05, "ECE gained")),
    Claim(
        "one-temperature",
        "One temperature, fitted on other questions, repairs most of that.",
        "Section 3.3, Figure 9",
        AtLeast(0.5, "of the ECE taken away"),
    ),
]

GIVEN = [
    Claim(
        "given-entropy",
        "Low entropy of its answers is a sign that they are right.",
        "Appendix B",
        AtLeast(0.6, "AUROC"),
    ),
    Claim("given-loss", "So is a low loss of its greedy answer.", "Appendix B", AtLeast(0.6, "AUROC")),
    Claim("given-p-true", "The model tells its true answers from its false ones.", JUDGING, AtLeast(0.6, "AUROC")),
    Claim("given-p-ik", "Its state after the question says whether it will be right.", HEADS, AtLeast(0.7, "AUROC")),
    Claim(
        "given-source",
        "A source with the answer raises its P(IK), untaught.",
        "Section 5.3",
        AtLeast(0.05, "rise of mean P(IK)"),
    ),
    Claim(  # not an effect: whatever is right, the format that is surer is further off
        "given-letters",
        "Letters are better calibrated than texts of options.",
        FORMATS,
        AtLeast(0, "ECE of texts less of letters"),
        IDENTITY,
    ),
    Claim("given-nota", '"None of the above" lowers accuracy.', FORMATS, AtLeast(0.05, "accuracy lost")),
]

CLAIMS = [*KNOWN, *ORGANISMS, *HINTS, *LETTERED, *GIVEN]


def run(config: Config, run: Run) -> None:
    """Check the instruments against closed forms; then study organisms, or the model that the user named."""
    from windtunnel.studies.self_knowledge.given import ask_given
    from windtunnel.studies.self_knowledge.hints import study_hints
    from windtunnel.studies.self_knowledge.identities import check_identities
    from windtunnel.studies.self_knowledge.knowledge import study_knowledge
    from windtunnel.studies.self_knowledge.lettered import study_letters
    from windtunnel.studies.self_knowledge.lettered_sizes import study_sizes

    check_identities(config, run)
    if run.model is None:
        study_knowledge(config, run)
        study_hints(config, run)
        study_sizes(*study_letters(config, run), config, run)
        needs, left = "a given model: name it with --model", GIVEN
    else:
        ask_given(config, run)
        needs, left = "models trained here: drop --model", [*ORGANISMS, *HINTS, *LETTERED]
    for claim in left:
        run.conclude(claim.id, note=f"A claim about {needs}.")
