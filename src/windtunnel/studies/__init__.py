"""The table of contents: nineteen papers, one study each; modules are imported only when a study runs."""

from windtunnel.laboratory.errors import UsageError
from windtunnel.laboratory.study import Study, nearest

STUDIES = (
    Study(
        "neural-scaling-laws",
        "Scaling Laws for Neural Language Models",
        "Kaplan et al., 2020",
        "2001.08361",
        "windtunnel.studies.neural_scaling_laws",
    ),
    Study(
        "autoregressive-scaling",
        "Scaling Laws for Autoregressive Generative Modeling",
        "Henighan et al., 2020",
        "2010.14701",
        "windtunnel.studies.autoregressive_scaling",
    ),
    Study(
        "transfer-scaling",
        "Scaling Laws for Transfer",
        "Hernandez et al., 2021",
        "2102.01293",
        "windtunnel.studies.transfer_scaling",
    ),
    Study(
        "repeated-data",
        "Scaling Laws and Interpretability of Learning from Repeated Data",
        "Hernandez et al., 2022",
        "2205.10487",
        "windtunnel.studies.repeated_data",
    ),
    Study(
        "few-shot-learning",
        "Language Models are Few-Shot Learners",
        "Brown et al., 2020",
        "2005.14165",
        "windtunnel.studies.few_shot_learning",
    ),
    Study(
        "general-language-assistant",
        "A General Language Assistant as a Laboratory for Alignment",
        "Askell et al., 2021",
        "2112.00861",
    ),
    Study(
        "helpful-harmless-rlhf",
        "Training a Helpful and Harmless Assistant with Reinforcement Learning from Human Feedback",
        "Bai et al., 2022",
        "2204.05862",
    ),
    Study(
        "constitutional-ai",
        "Constitutional AI: Harmlessness from AI Feedback",
        "Bai et al., 2022",
        "2212.08073",
    ),
    Study(
        "constitutional-principles",
        "Specific versus General Principles for Constitutional AI",
        "Kundu et al., 2023",
        "2310.13798",
    ),
    Study(
        "self-knowledge",
        "Language Models (Mostly) Know What They Know",
        "Kadavath et al., 2022",
        "2207.05221",
        "windtunnel.studies.self_knowledge",
    ),
    Study(
        "red-teaming",
        "Red Teaming Language Models to Reduce Harms: Methods, Scaling Behaviors, and Lessons Learned",
        "Ganguli et al., 2022",
        "2209.07858",
    ),
    Study(
        "model-written-evaluations",
        "Discovering Language Model Behaviors with Model-Written Evaluations",
        "Perez et al., 2022",
        "2212.09251",
        "windtunnel.studies.model_written_evaluations",
    ),
    Study(
        "moral-self-correction",
        "The Capacity for Moral Self-Correction in Large Language Models",
        "Ganguli et al., 2023",
        "2302.07459",
        "windtunnel.studies.moral_self_correction",
    ),
    Study(
        "scalable-oversight",
        "Measuring Progress on Scalable Oversight for Large Language Models",
        "Bowman et al., 2022",
        "2211.03540",
    ),
    Study(
        "induction-heads",
        "In-context Learning and Induction Heads",
        "Olsson et al., 2022",
        "2209.11895",
        "windtunnel.studies.induction_heads",
    ),
    Study(
        "toy-models-of-superposition",
        "Toy Models of Superposition",
        "Elhage et al., 2022",
        "2209.10652",
        "windtunnel.studies.toy_models_of_superposition",
    ),
    Study(
        "scaling-monosemanticity",
        "Scaling Monosemanticity: Extracting Interpretable Features from Claude 3 Sonnet",
        "Templeton et al., 2024",
        "2605.29358",
    ),
    Study(
        "emotion-concepts",
        "Emotion Concepts and their Function in a Large Language Model",
        "Sofroniew et al., 2026",
        "2604.07729",
    ),
    Study(
        "hidden-objectives",
        "Auditing Language Models for Hidden Objectives",
        "Marks et al., 2025",
        "2503.10965",
    ),
)
"""Every study, in the order of `windtunnel list`."""


def find(study_id: str) -> Study:
    """The study of that name.

    Raises:
        UsageError: There is none.
    """
    for study in STUDIES:
        if study.id == study_id:
            return study
    raise UsageError(f"There is no study {study_id!r}; {nearest(study_id, [study.id for study in STUDIES])}")
