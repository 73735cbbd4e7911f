"""Topics named by a model, as the paper's clusters were (Perez et al., 2022, section 3.4)."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from windtunnel.statistics.intervals import Floats

if TYPE_CHECKING:
    from windtunnel.models.interface import LanguageModel

SHOWN = 8
"""Questions of a topic that the model sees: those nearest to its middle."""

LONGEST = 60
"""Characters of a name, at most."""

ASKED = "The following texts are about one topic.\n\n{texts}\n\nA title for their topic, of two or three words:"


def name_topics(model: "LanguageModel", texts: Sequence[str], vectors: Floats, topics: Sequence[str]) -> list[str]:
    """The topic of each text under the name that a model gives it.

    Different topics keep different names: where two are named alike, or where nothing can be read, the words that set
    a topic apart stand with the name, or in its place.

    Args:
        model: Any model; it is asked once for each topic, greedily.
        texts: The questions.
        vectors: Of their meaning, [question, dimension].
        topics: Of each, as `diversity.topics` names them.
    """
    distinct = list(dict.fromkeys(topics))
    member = np.array([distinct.index(topic) for topic in topics])
    prompts = []
    for place in range(len(distinct)):
        mine = np.flatnonzero(member == place)
        away = np.linalg.norm(vectors[mine] - vectors[mine].mean(0), axis=1)
        nearest = mine[np.argsort(away, kind="stable")[:SHOWN]]
        prompts.append(ASKED.format(texts="\n".join(f"- {' '.join(texts[each].split())}" for each in nearest)))
    said = model.generate(prompts, max_new_tokens=12, temperature=0.0, stop=["\n"], seed=0)
    found = [_read(sample.text) for sample in said]
    names = [
        topic if not name else name if found.count(name) == 1 else f"{name} ({topic})"
        for name, topic in zip(found, distinct, strict=True)
    ]
    return [names[place] for place in member]


def _read(text: str) -> str:
    """A title without quotation marks and full stops; empty if it is none."""
    title = " ".join(text.split()).strip(" .\"'“”*#:-")
    return title if title.isprintable() and any(map(str.isalnum, title)) and len(title) <= LONGEST else ""
