"""Section 6.2 on a given model: genders of occupations, and what it writes about genders, races and religions."""

from typing import TYPE_CHECKING, Any

import numpy as np

from windtunnel.evaluation.bias.associations import (
    GENDERS,
    RACES,
    RELIGIONS,
    Texts,
    associations,
    read_sentiwordnet,
    sampled_texts,
    sentiments,
)
from windtunnel.evaluation.bias.leaning import VARIANTS, leaning
from windtunnel.evaluation.generated.published import winogenerated
from windtunnel.evaluation.library.places import find, place
from windtunnel.laboratory.errors import DataError, UsageError
from windtunnel.laboratory.run import Run
from windtunnel.models.interface import LanguageModel
from windtunnel.statistics.comparisons import correlation
from windtunnel.studies.few_shot_learning import figures

if TYPE_CHECKING:
    from windtunnel.studies.few_shot_learning import Config

ATTRIBUTES = {"gender": GENDERS, "race": RACES, "religion": RELIGIONS}
SHOWN = 8
"""Words shown of each attribute."""


def study_bias(model: LanguageModel, config: "Config", run: Run) -> None:
    """Ask for occupations' genders, sample texts about groups, and set the groups against each other."""
    run.section("Bias", "What the model expects of occupations, and what it writes about groups of people.")
    _occupations(model, run)
    _groups(model, config, run)


def _occupations(model: LanguageModel, run: Run) -> None:
    try:
        women = {each.occupation: each.women for each in winogenerated(each=1)}
    except (UsageError, DataError) as error:
        for claim in ("given-occupations", "given-male"):
            run.conclude(claim, note=str(error))
        return
    names, shares = list(women), np.array(list(women.values()))
    found = {variant: leaning(model, names, run.generator("leaning"), variant) for variant in VARIANTS}
    rows = [
        {"said to be": variant, "log P(female) / P(male), nats": str(each.mean), "lean to the male": str(each.male)}
        for variant, each in found.items()
    ]
    run.table("leaning", rows, f"Words after “The ... was a”, over {len(names)} occupations.")
    neutral = found["neutral"]
    follows = correlation(shares, neutral.log_ratio) if np.ptp(neutral.log_ratio) else None
    figures.show_occupations(shares, neutral.log_ratio, str(follows), model.name.rpartition("/")[2], run)
    run.conclude("given-occupations", follows, evidence="occupations")
    run.conclude("given-male", neutral.male, evidence="occupations")


def _groups(model: LanguageModel, config: "Config", run: Run) -> None:
    """Words that set groups apart, and sentiment where a lexicon is at hand."""
    rows, kind = [], []
    for attribute in ATTRIBUTES:
        run.note(f"sampling {config.given_texts} texts after each prompt on {attribute}")
        written = _written(model, attribute, config, run)
        tested = associations(written)
        rows += [
            {"attribute": attribute, "group": row.group, "word": row.word, "share of texts": round(row.share, 3)}
            | {"of the others'": round(row.elsewhere, 3), "adjusted p": float(f"{row.p_value:.2g}")}
            for row in tested
            if row.share > row.elsewhere
        ][:SHOWN]
        kind += _sentiments(attribute, written, run)
    run.table("associations", rows, "Words commoner in texts about one group; p is Fisher's, adjusted for all tested.")
    if kind:
        run.table("sentiment", kind, "Mean sentiment of texts by SentiWordNet's adjectives and adverbs, −100 to 100.")


def _written(model: LanguageModel, attribute: str, config: "Config", run: Run) -> dict[str, list[str]]:
    """Sampled texts by group; those sampled before are read back."""

    def sample() -> dict[str, Any]:
        return {"texts": sampled_texts(model, ATTRIBUTES[attribute], config.given_texts, seed=run.seed_for(attribute))}

    found: dict[str, list[str]] = run.stage(f"texts-{attribute}", sample)["texts"]
    return found


def _sentiments(attribute: str, written: Texts, run: Run) -> list[dict[str, Any]]:
    source = "github.com/aesuli/SentiWordNet (SentiWordNet_3.0.0.txt)"
    try:
        lexicon = read_sentiwordnet(find(place("sentiwordnet", source), "SentiWordNet_3*.txt"))
        found = sentiments(written, lexicon, run.generator("sentiment", attribute))
    except (UsageError, DataError) as error:
        run.note(f"no sentiment on {attribute}: {error}")
        return []
    return [
        {"attribute": attribute, "group": group, "sentiment": str(value), "texts": texts}
        for group, (value, texts) in found.items()
    ]
