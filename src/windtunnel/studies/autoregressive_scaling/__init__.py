"""Scaling Laws for Autoregressive Generative Modeling (Henighan et al., 2020; arXiv:2010.14701).

One decoder, trained on images, video, captioned images, mathematics and text, each in several sizes. The loss falls as
a power law plus a constant with parameters and with compute, and since the sources' entropies are known exactly here,
the constant is held against the truth, and so is what a caption is measured to tell about its image.
"""

from typing import Literal, Self, get_args

from pydantic import Field, model_validator

from windtunnel.laboratory.claims import AtLeast, AtMost, Between, Claim
from windtunnel.laboratory.run import Run
from windtunnel.laboratory.study import StudyConfig

Experiment = Literal["images", "video", "captions", "maths", "text", "classification", "aspect", "language"]
EVERY: tuple[Experiment, ...] = get_args(Experiment)
Sizes = tuple[tuple[int, int], ...]


class Config(StudyConfig):
    """What is trained, on what, and how it is measured."""

    experiments: tuple[Experiment, ...] = Field(EVERY, min_length=1, description="which parts of the paper to run")
    image_source: Literal["pictures", "digits", "cifar"] = Field(
        "pictures", description="pictures: known entropy; digits: scikit-learn; cifar: through WINDTUNNEL_DATA"
    )
    image_side: int = Field(8, ge=6, le=32, description="pixels of the side of an image")
    image_sizes: Sizes = Field(
        ((16, 2), (32, 4), (48, 6), (64, 8), (80, 10)),
        description="width and layers of each image model: width / layers 8, as in the paper",
    )
    image_steps: int = Field(450, ge=4, description="optimizer steps on images")
    video_sizes: Sizes = Field(((16, 2), (32, 2)), description="width and layers of each video model")
    video_side: int = Field(4, ge=3, description="pixels of the side of a frame")
    frames: int = Field(8, ge=4, description="frames of a clip")
    habit: float = Field(0.2, gt=0, description="concentration of a clip's preferences: the smaller, the stronger")
    video_steps: int = Field(700, ge=4, description="optimizer steps on video")
    caption_sizes: Sizes = Field(((16, 2), (48, 4)), description="width and layers of each captioned-image model")
    caption_side: int = Field(6, ge=4, le=32, description="pixels of the side of a captioned image")
    caption_steps: int = Field(1_200, ge=4, description="optimizer steps on captioned images")
    blank_steps: int = Field(600, ge=4, description="optimizer steps of fine-tuning with half of the rows blank")
    mixed_sizes: Sizes = Field((), description="width and layers of models that see 5 % blanks from the start")
    maths_sizes: Sizes = Field(((16, 2), (32, 3), (48, 3)), description="width and layers of each mathematics model")
    maths_modules: tuple[Literal["add", "larger", "digit"], ...] = Field(
        ("larger", "digit"), min_length=1, description="kinds of problems"
    )
    maths_digits: int = Field(4, ge=1, le=9, description="most digits trained on; twice as many are tested")
    maths_steps: int = Field(800, ge=4, description="optimizer steps on mathematics")
    maths_rows: tuple[int, ...] = Field((), description="rows of problems of trainings that repeat them")
    text_vocabulary: int = Field(64, ge=4, description="token types of the text, a Markov chain of known entropy")
    text_sizes: Sizes = Field(
        ((8, 2), (16, 2), (24, 2), (32, 2), (48, 2), (64, 2)), description="width and layers of each text model"
    )
    text_steps: int = Field(400, ge=4, description="optimizer steps on text")
    classifier: tuple[int, int] = Field((32, 4), description="width and layers of the model fine-tuned to classify")
    generative_steps: int = Field(500, ge=4, description="optimizer steps on digits before fine-tuning")
    classify_steps: int = Field(120, ge=4, description="optimizer steps of fine-tuning")
    labelled: int = Field(300, ge=20, le=1437, description="digits with labels to fine-tune on")
    aspect_parameters: float = Field(12_000, gt=0, description="parameters of every shape compared")
    aspect_ratios: tuple[float, ...] = Field((2.0, 8.0, 32.0), min_length=3, description="width / layers compared")
    corpus: str = Field("offline-english", description="real text: file, directory or offline corpus")
    language_context: int = Field(64, ge=8, multiple_of=2, description="bytes that a model of real text reads")
    language_sizes: Sizes = Field(((16, 2), (32, 2)), min_length=1, description="width and layers on real text")
    language_steps: int = Field(400, ge=4, description="optimizer steps on real text")
    language_rows: int = Field(2_048, ge=16, description="held-out rows of real text")
    batch_size: int = Field(32, ge=2, description="rows per step")
    learning_rate: float = Field(4e-3, gt=0, description="peak at width 32; it falls as width^-0.75, as in Table 5")
    warmup_steps: int = Field(50, ge=0, description="steps of linear warm-up, then linear decay to a tenth")
    evaluations: int = Field(16, ge=4, description="points on each training curve")
    held_out: int = Field(512, ge=16, description="held-out rows")
    samples: int = Field(12, ge=2, le=64, description="images sampled and shown")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        multiples = {"image": 16, "maths": 16, "language": 16, "video": 8, "caption": 8, "mixed": 8, "text": 8}
        for field, multiple in multiples.items():
            for width, _ in getattr(self, f"{field}_sizes"):
                if width % multiple:
                    raise ValueError(f"{field}_sizes has width {width}, which is not a multiple of {multiple}")
        if self.classifier[0] % 16:
            raise ValueError(f"classifier has width {self.classifier[0]}, which is not a multiple of 16")
        return self


PRESETS = {
    "quick": Config(),
    "full": Config(
        image_steps=4_000,
        video_sizes=((16, 2), (24, 3), (32, 4), (48, 6)),
        video_side=6,
        video_steps=3_000,
        caption_sizes=((16, 2), (24, 3), (32, 4), (48, 6)),
        caption_side=8,
        caption_steps=3_000,
        blank_steps=600,
        mixed_sizes=((32, 4), (48, 6)),
        maths_sizes=((16, 2), (32, 4), (64, 8)),
        maths_modules=("add", "larger", "digit"),
        maths_steps=4_000,
        maths_rows=(250, 1_000, 4_000, 16_000),
        text_steps=3_000,
        language_context=128,
        language_sizes=((16, 2), (32, 4), (64, 8)),
        language_steps=3_000,
        classifier=(64, 8),
        generative_steps=2_000,
        aspect_parameters=50_000,
        aspect_ratios=(1.0, 4.0, 8.0, 16.0, 32.0),
        held_out=2_048,
    ),
    "paper": Config(
        image_source="cifar",
        image_side=32,
        image_sizes=((32, 4), (64, 8), (128, 16), (256, 32), (512, 64), (1024, 128)),
        image_steps=250_000,
        video_sizes=((32, 4), (64, 8), (128, 16), (256, 32), (512, 64), (1024, 128)),
        video_side=16,
        frames=16,
        video_steps=250_000,
        caption_sizes=((64, 2), (128, 2), (256, 4), (512, 4), (512, 8), (768, 12)),
        caption_side=32,
        caption_steps=250_000,
        blank_steps=10_000,
        mixed_sizes=((64, 2), (256, 4), (512, 8)),
        maths_sizes=((64, 8), (128, 16), (256, 32), (512, 64)),
        maths_modules=("add", "larger", "digit"),
        maths_digits=9,
        maths_steps=250_000,
        maths_rows=(10_000, 100_000, 1_000_000, 10_000_000),
        text_vocabulary=4_096,
        text_sizes=((64, 2), (128, 4), (256, 8), (512, 16)),
        text_steps=250_000,
        language_context=512,
        language_sizes=((64, 4), (128, 8), (256, 16), (512, 24)),
        language_steps=250_000,
        classifier=(256, 32),
        generative_steps=50_000,
        aspect_parameters=6.3e6,
        aspect_ratios=(1.0, 4.0, 8.0, 16.0, 64.0),
        batch_size=128,
        learning_rate=2.686e-3,
        warmup_steps=3_000,
        evaluations=100,
        held_out=1_024,
    ),
}

RATIO, CORRELATION = "of the exact value", "of the variance"
CLAIMS = [
    Claim(
        "published-loss",
        "Table 1 gives the loss of 8x8 images at one PF-day.",
        "Table 1",
        Between(3.162, 3.166, "nats per token"),
        False,
    ),
    Claim(
        "published-image",
        "Table 3 gives the loss per 8x8 image at one PF-day.",
        "Table 3",
        Between(605.9, 606.5, "nats per image"),
        False,
    ),
    Claim(
        "table-5-sizes",
        "3 layers width² gives the sizes of Table 5.",
        "Table 5",
        AtMost(0.01, "largest relative error"),
        False,
    ),
    Claim(
        "planted-constant",
        "A planted constant is recovered from 8 sizes with 1 % noise.",
        "Section 2",
        AtMost(0.005, "median relative error"),
        False,
    ),
    Claim("planted-exponent", "So is the exponent.", "Section 2", AtMost(0.05, "median relative error"), False),
    Claim(
        "planted-coverage",
        "The interval of the constant holds it.",
        "Section 2",
        AtLeast(0.85, "of fits"),
        False,
    ),
    Claim(
        "tokens-of-compute",
        "N_opt of 16x16 images gives the paper's C(D).",
        "Section 6",
        Between(1 / 3, 3, "of 5e-42"),
        False,
    ),
    Claim("compute-exponent", "And its exponent.", "Section 6", Between(3.8, 4.0, "exponent"), False),
    Claim(
        "image-floor", "No image model beats the entropy.", "Section 1.2", AtLeast(-3, "standard errors, L − S"), False
    ),
    Claim(
        "image-entropy",
        "The fitted irreducible loss of images is their entropy.",
        "Section 1.2",
        Between(0.95, 1.05, RATIO),
    ),
    Claim(
        "image-power-law", "The reducible loss of images is a power law in size.", "Fig. 1", AtLeast(0.97, CORRELATION)
    ),
    Claim(
        "image-compute",
        "The best size grows with compute as a power between 0.4 and 0.8.",
        "Fig. 2",
        Between(0.4, 0.8, "exponent"),
    ),
    Claim(
        "two-constants",
        "L(D) and L(C) of images end at one irreducible loss.",
        "Section 6",
        AtMost(0.05, "of the entropy apart"),
    ),
    Claim("image-percentiles", "Every percentile of images follows such a law.", "Fig. 20", AtLeast(0.95, CORRELATION)),
    Claim(
        "other-images",
        "The loss on other images depends on the loss on these alone.",
        "Fig. 32",
        AtLeast(0.97, CORRELATION),
    ),
    Claim(
        "text-entropy",
        "The fitted irreducible loss of text is its entropy rate.",
        "Section 1.2",
        Between(0.95, 1.05, RATIO),
    ),
    Claim(
        "text-positions",
        "The loss of text falls along the context as a power law to a constant.",
        "Fig. 6, Appendix E",
        AtLeast(0.95, CORRELATION),
    ),
    Claim(
        "context-information",
        "That law gives what a stretch of text tells about the next.",
        "Appendix E",
        Between(0.9, 1.1, "of what is measured"),
    ),
    Claim(
        "video-first-frame",
        "The first frame of a clip is the hardest by far.",
        "Fig. 6",
        AtLeast(1.5, "times the mean of the others"),
    ),
    Claim(
        "video-decreasing",
        "Frames get easier one after the other.",
        "Fig. 6",
        AtLeast(0.9, "rank correlation, negated"),
    ),
    Claim(
        "video-power-law", "From the second on, as a power law plus a constant.", "Fig. 6", AtLeast(0.95, CORRELATION)
    ),
    Claim(
        "caption-to-image",
        "The largest model measures what a caption tells about its image.",
        "Fig. 12",
        Between(0.9, 1.1, RATIO),
    ),
    Claim("image-to-caption", "And what an image tells about its caption.", "Fig. 12", Between(0.9, 1.1, RATIO)),
    Claim(
        "blank-tuning",
        "A model not fine-tuned on blanks measures too much.",
        "Section 4",
        AtLeast(1.2, "of the tuned estimate"),
    ),
    Claim("mixed-blanks", "5 % of blanks from the start serve as well.", "Section 4", Between(0.9, 1.1, RATIO)),
    Claim("gain-logarithm", "InfoGain grows as ln(N / N_c).", "Fig. 12", AtLeast(0.9, CORRELATION)),
    Claim(
        "maths-collapse",
        "Accuracy depends on the loss alone, whatever the size.",
        "Fig. 13",
        AtMost(0.1, "accuracy between sizes"),
    ),
    Claim("maths-steps", "At equal steps sizes differ.", "Fig. 13", AtLeast(0.2, "accuracy between sizes")),
    Claim(
        "maths-beyond",
        "Beyond the training range accuracy falls digit by digit.",
        "Fig. 13",
        AtLeast(0.9, "rank correlation, negated"),
    ),
    Claim("maths-data", "The least loss is a power of the problems seen.", "Fig. 22", AtLeast(0.95, CORRELATION)),
    Claim("classification", "Generative training helps to classify.", "Fig. 11", AtLeast(0.02, "accuracy gained")),
    Claim("aspect-ratio", "The best width / layers for images is small.", "Fig. 4", Between(5, 10, "width / layers")),
]


def run(config: Config, run: Run) -> None:
    """Train every ladder, then measure each domain."""
    from windtunnel.studies.autoregressive_scaling.experiments import compare_domains

    compare_domains(config, run)
