"""Language Models are Few-Shot Learners (Brown et al., 2020; arXiv:2005.14165).

Few-shot learning from web text cannot be had at this size. What is shown here is an organism for it: small transformers
trained on streams of episodes, each of a task drawn anew, learn to learn from their context while their weights stay as
they are. The study measures what the paper measures of its models: zero-, one- and few-shot accuracy over the number of
examples and over size, with a task's name and without; and, since the organism's tasks are known, how near that comes
to the best possible. Beside it stand the paper's other experiments on text and worlds of known truth: contamination
with a planted leak, the quality filter and the training mix, loss over compute, ranking by likelihood, people telling
generated text from other (simulated raters of known skill), and the arithmetic of its tables. With `--model` a given
model is asked the paper's tasks on real data.
"""

from typing import Literal, Self

from pydantic import Field, PositiveInt, model_validator

from windtunnel.laboratory.claims import AtLeast, AtMost, Between, Claim
from windtunnel.laboratory.run import Run
from windtunnel.laboratory.study import StudyConfig

Experiment = Literal["identities", "organism", "contamination", "text", "detection"]

GIVEN_TASKS = (
    "arithmetic/two_digit_addition",
    "arithmetic/two_digit_subtraction",
    "arithmetic/three_digit_addition",
    "arithmetic/single_digit_three_ops",
    "word-scrambling/cycle_letters_in_word",
    "word-scrambling/mid_word_2_anagrams",
    "word-scrambling/random_insertion_in_word",
    "word-scrambling/reversed_words",
    "piqa",
    "nq-open",
    "truthfulqa/mc1",
    "novel-words",
    "analogies",
    "grammar",
)


class Config(StudyConfig):
    """What is trained, on what, and how it is measured."""

    experiments: tuple[Experiment, ...] = Field(
        ("identities", "organism", "contamination", "text", "detection"), min_length=1, description="what is run"
    )
    family: Literal["permutations", "affine"] = Field("permutations", description="class of the organism's tasks")
    symbols: int = Field(5, ge=5, description="inputs, and answers, of a task")
    shots: int = Field(16, ge=2, description="most examples before a question")
    named: int = Field(64, ge=1, description="tasks fixed for good and announced by a name")
    named_share: float = Field(0.2, gt=0, lt=1, description="of the episodes")
    widths: tuple[PositiveInt, ...] = Field((16, 32, 64), min_length=2, description="of the family, smallest first")
    layers: tuple[PositiveInt, ...] = Field((2,), min_length=1, description="blocks: one number, or one per width")
    head_width: int = Field(16, ge=2, multiple_of=2, description="of one head")
    shallow_width: int = Field(64, ge=8, description="width of the model of one attention-only layer")
    seeds: int = Field(3, ge=1, le=100, description="families, each with tasks of its own")
    steps: int = Field(600, ge=4, description="optimizer steps")
    batch_size: int = Field(32, ge=1, description="episodes per step")
    learning_rate: float = Field(3e-3, gt=0, description="peak")
    warmup_steps: int = Field(100, ge=0, description="steps")
    evaluations: int = Field(6, ge=2, description="measured points of a training")
    test_episodes: int = Field(1_000, ge=20, description="episodes of each kind that models are measured on")

    questions: int = Field(400, ge=20, description="test questions of the planted leak")
    leaked_share: float = Field(0.1, gt=0, lt=1, description="of them")
    leak_copies: int = Field(20, ge=1, description="documents in which each leaked question stands")
    leak_documents: int = Field(2_000, ge=20, description="in the corpus")
    leak_steps: int = Field(400, ge=4, description="optimizer steps of 32 documents")
    leak_width: int = Field(64, ge=8, description="of the model that reads the corpus")

    vocabulary: int = Field(512, ge=259, description="token types of the text models")
    context: int = Field(64, ge=8, description="tokens of the text models")
    text_widths: tuple[PositiveInt, ...] = Field((8, 16, 32, 64), min_length=3, description="of the text models")
    text_steps: int = Field(300, ge=4, description="optimizer steps of the text models")
    text_batch: int = Field(16, ge=1, description="rows per step")
    text_learning_rate: float = Field(4e-3, gt=0, description="peak")
    mix_width: int = Field(32, ge=8, description="of the models that learn from crawls and mixes")
    crawl_characters: int = Field(8_000_000, ge=20_000, description="of the crawl")
    good_share: float = Field(0.2, gt=0, lt=1, description="of the crawl is prose, the rest program code")
    reference_characters: int = Field(800_000, ge=10_000, description="of curated prose")
    test_rows: int = Field(200, ge=4, description="held-out rows")

    participants: int = Field(80, ge=4, description="simulated, by model")
    articles: int = Field(25, ge=4, description="rated by each")
    repetitions: int = Field(300, ge=10, description="simulated experiments for the coverage of intervals")

    given_tasks: tuple[str, ...] = Field(GIVEN_TASKS, min_length=1, description="asked of a given model")
    given_shots: tuple[int, ...] = Field((0, 1, 8), min_length=2, description="examples before a question")
    given_limit: int = Field(60, ge=4, description="questions of each task")
    given_texts: int = Field(20, ge=2, description="texts after each prompt on gender, race and religion")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if len(self.layers) not in (1, len(self.widths)):
            raise ValueError(
                f"{len(self.layers)} depths do not go with {len(self.widths)} widths: give one, or one each"
            )
        if list(self.widths) != sorted(set(self.widths)):
            raise ValueError("widths rise from the smallest model to the largest")
        for width in (*self.widths, self.shallow_width):
            if width % self.head_width:
                raise ValueError(f"width {width} is not a multiple of head_width {self.head_width}")
        return self


PRESETS = {
    "quick": Config(),
    "full": Config.model_validate(
        {"symbols": 8, "shots": 32, "named": 256, "widths": (16, 32, 64, 128, 256), "layers": (2, 2, 3, 4, 4)}
        | {"steps": 8_000, "batch_size": 64, "learning_rate": 2e-3, "warmup_steps": 400, "evaluations": 20}
        | {"leak_documents": 20_000, "questions": 2_000, "leak_steps": 4_000, "leak_width": 128, "repetitions": 1_000}
        | {"vocabulary": 4_096, "context": 256, "text_widths": (16, 32, 64, 128, 256), "text_steps": 3_000}
        | {"text_batch": 32, "mix_width": 128, "crawl_characters": 60_000_000, "reference_characters": 15_000_000}
        | {"text_learning_rate": 2e-3, "given_limit": 1_000, "given_shots": (0, 1, 4, 16)}
        | {"given_texts": 200}
    ),
    "paper": Config.model_validate(
        {"symbols": 512, "shots": 1_023, "named": 4_096, "head_width": 64, "shallow_width": 768, "learning_rate": 6e-4}
        | {"widths": (768, 1_024, 1_536, 2_048, 2_560, 4_096, 5_120, 12_288)}
        | {"layers": (12, 24, 24, 24, 32, 32, 40, 96), "seeds": 1, "steps": 300_000, "batch_size": 512}
        | {"warmup_steps": 375, "evaluations": 100, "leak_documents": 1_000_000, "leak_steps": 30_000}
        | {"leak_width": 768, "questions": 10_000, "vocabulary": 50_257, "context": 2_048, "text_steps": 300_000}
        | {"text_widths": (768, 1_024, 1_536, 2_048, 2_560, 4_096, 5_120, 12_288), "text_batch": 512}
        | {"text_learning_rate": 6e-4, "mix_width": 2_048, "crawl_characters": 1_000_000_000}
        | {"reference_characters": 300_000_000, "repetitions": 1_000, "given_limit": 10_000}
        | {"given_texts": 800}
        | {"given_shots": (0, 1, 2, 4, 8, 16, 32, 64)}
    ),
}

APPENDIX_C, RANKING = "Section 4 and Appendix C", "Section 2.4"

IDENTITIES = [
    Claim("compute", "6 N D gives the largest model's compute.", "Table D.1", AtMost(0.01, "relative gap"), False),
    Claim("compute-rows", "It gives every model's within rounding.", "Table D.1", AtMost(0.02, "relative gap"), False),
    Claim("loss-law", "The law of loss at that compute.", "Figure 3.1", Between(1.729, 1.739, "nats"), False),
    Claim("table-oddities", "In two rows heads do not fit the width.", "Table 2.1", Between(2, 2, "rows"), False),
    Claim("mix-epochs", "Epochs follow from weights for three sets.", "Table 2.2", AtMost(0.1, "epochs off"), False),
    Claim("mix-oddities", "For the two others they do not.", "Table 2.2", AtLeast(0.3, "epochs off"), False),
    Claim("arithmetic-generator", "Generated arithmetic is right.", "Section 3.9.1", AtLeast(1, "of 20,000"), False),
    Claim(
        "words-generator",
        "Words with symbols inserted or reversed have one solution.",
        "Section 3.9.2",
        AtLeast(1, "of the words"),
        False,
    ),
    Claim("uniform-chance", "A uniform model ranks by chance.", RANKING, AtMost(3, "standard errors off"), False),
    Claim(
        "unconditional-identity",
        "After the unconditional prompt itself all answers are worth nothing.",
        RANKING,
        AtMost(1e-6, "nats"),
        False,
    ),
    Claim(
        "normalisations",
        "Each normalisation finds evidence that plain ranking misses.",
        RANKING,
        AtLeast(0.5, "accuracy gained"),
        False,
    ),
    Claim("keep-rule", "Documents are kept as (2 − score)^−9.", "Appendix A", AtMost(4, "standard errors off"), False),
    Claim("near-duplicates", "Planted near duplicates are found.", "Appendix A", AtLeast(0.95, "of them"), False),
    Claim("no-duplicates", "Other documents are not taken for such.", "Appendix A", AtMost(0.01, "of pairs"), False),
]

GAIN = "accuracy gained from 16 shots or the most"
FIGURE_1 = "Figures 1.1 and 1.2"

ORGANISM = [
    Claim("few-shot-gain", "A two-layer model learns new tasks from examples.", FIGURE_1, AtLeast(0.30, GAIN)),
    Claim("one-layer-gain", "A layer of attention alone does not.", FIGURE_1, AtMost(0.10, GAIN), False),
    Claim(
        "monotone", "Accuracy rises with the examples.", FIGURE_1, AtMost(0.05, "largest gap to a rising curve"), False
    ),
    Claim(
        "larger-is-steeper",
        "The largest model's curve is steeper than the smallest's, beyond chance.",
        FIGURE_1,
        AtLeast(2 / 3, "of the seeds"),
    ),
    Claim("gap-grows", "The gap of few-shot to zero-shot grows with size.", "Figure 1.3", AtLeast(0.10, "accuracy")),
    Claim("context-use", "Larger models gain more nats from context.", FIGURE_1, AtLeast(0.2, "nats more")),
    Claim("near-best", "The largest comes near the best possible.", FIGURE_1, AtMost(0.05, "accuracy below")),
    Claim("name-helps", "A task's name helps without examples.", "Figure 1.2", AtLeast(0.30, "accuracy")),
    Claim("name-helps-less", "With examples it helps less.", "Figure 1.2", AtLeast(0.20, "accuracy less")),
]

MORE = [
    Claim("leak-found", "The planted leak is found.", APPENDIX_C, AtLeast(0.99, "lesser of precision and recall")),
    Claim("dirty-is-better", "The model is better on what leaked.", APPENDIX_C, AtLeast(0.30, "accuracy")),
    Claim("no-memory", "A model that never read it is not.", APPENDIX_C, Between(-0.25, 0.25, "accuracy"), False),
    Claim("quality-filter", "A filtered crawl teaches prose better.", "Appendix A", AtLeast(0.05, "nats per token")),
    Claim("mix", "So do weights that favour the better source.", "Section 2.2", AtLeast(0.05, "nats per token")),
    Claim("loss-over-compute", "Loss falls as a power of compute.", "Figure 3.1", AtMost(-0.02, "exponent")),
    Claim(
        "detection-table",
        "The printed t fits the printed intervals.",
        "Table 3.11",
        AtMost(0, "outside of rounding"),
        False,
    ),
    Claim(
        "detection-coverage",
        "Intervals over raters and texts hold the raters' true accuracy.",
        "Section 3.9.4",
        AtLeast(0.90, "of the experiments"),
        False,
    ),
    Claim(
        "detection-control",
        "Simulated raters of the paper's skill tell the control from the largest model.",
        "Table 3.11",
        AtLeast(0.20, "accuracy"),
    ),
    Claim("detection-by-size", "Their accuracy falls with size.", "Figure 3.13", AtMost(-0.02, "exponent")),
]

TRAINED = [*IDENTITIES, *ORGANISM, *MORE]

GIVEN = [
    Claim("given-few-shot", "Examples help the model.", "Figure 1.3", AtLeast(0.02, "accuracy, mean of tasks")),
    Claim("given-addition", "It adds numbers of two digits.", "Table 3.9", AtLeast(0.5, "accuracy")),
    Claim("given-piqa", "It knows ways to reach goals.", "Table 3.6", AtLeast(0.55, "accuracy")),
    Claim("given-reversed", "It cannot reverse words.", "Table 3.10", AtMost(0.02, "accuracy"), False),
    Claim(
        "given-occupations",
        "It expects women in occupations of women, and men in others.",
        "Section 6.2.1",
        AtLeast(0.3, "correlation with the share of women"),
    ),
    Claim(  # not an effect: a model that prefers one word whatever stands before it leans everywhere
        "given-male", "Most occupations lean to the male.", "Section 6.2.1", AtLeast(0.5, "of the occupations"), False
    ),
]

CLAIMS = [*TRAINED, *GIVEN]


def run(config: Config, run: Run) -> None:
    """Check the arithmetic and the instruments, train the organism and the text models; or ask a given model."""
    from windtunnel.studies.few_shot_learning.bias import study_bias
    from windtunnel.studies.few_shot_learning.detection import study_detection
    from windtunnel.studies.few_shot_learning.given import ask_given, given_model
    from windtunnel.studies.few_shot_learning.identities import check_identities
    from windtunnel.studies.few_shot_learning.leak import study_leak
    from windtunnel.studies.few_shot_learning.organism import study_organism
    from windtunnel.studies.few_shot_learning.text import study_text

    if run.model is not None:
        model = given_model(run)
        ask_given(model, config, run)
        study_bias(model, config, run)
        for claim in TRAINED:
            run.conclude(claim.id, note="A claim about models trained here: drop --model.")
        return
    studies = {
        "identities": check_identities,
        "organism": study_organism,
        "contamination": study_leak,
        "text": study_text,
        "detection": study_detection,
    }
    for name in config.experiments:
        studies[name](config, run)
    for claim in GIVEN:
        run.conclude(claim.id, note="A claim about a given model: name it with --model.")
