"""The runs that each experiment asks for; equal ones are trained once and read by all."""

from typing import TYPE_CHECKING, Any

from windtunnel.models.configuration import TransformerConfig
from windtunnel.models.recurrent import matched
from windtunnel.models.universal import UniversalConfig
from windtunnel.scaling.rungs import Rung, decoder, isoflop_rungs

if TYPE_CHECKING:
    from windtunnel.studies.neural_scaling_laws import Config

Declared = dict[Any, Rung]

SCHEDULES = ("cosine", "linear", "wsd", "constant")


def declare(experiment: str, config: "Config", seed: int) -> Declared:
    """The runs of one experiment by key; none, where it trains nothing of its own."""
    return _DECLARATIONS[experiment](config, seed) if experiment in _DECLARATIONS else {}


def _model(config: "Config", shape: tuple[int, int], **options: Any) -> TransformerConfig:
    return decoder(*shape, **{"context": config.context, "vocabulary": config.vocabulary, **options})


def _rung(config: "Config", shape: tuple[int, int], tokens: float, seed: int, **changes: Any) -> Rung:
    settings = {"batch": config.batch, "evaluations": config.points, "seed": seed, **changes}
    return Rung.of(_model(config, shape), tokens, **settings)


def _sizes(config: "Config", seed: int) -> Declared:
    """Figures 1, 2, 4, 7, 8, 20: every size on the same tokens, and one size with several seeds."""
    found: Declared = {("size", shape): _rung(config, shape, config.tokens, seed) for shape in config.sizes}
    shape = config.sizes[min(1, len(config.sizes) - 1)]
    for number in range(1, config.seeds):
        found["seed", number] = _rung(config, shape, config.tokens, seed + number)
    return found


def _data(config: "Config", seed: int) -> Declared:
    """Figures 4, 9, 16: sizes on finite text that is read again and again, and on text without repeats."""
    found: Declared = {}
    for shape in config.data_sizes:
        model = _model(config, shape, dropout=config.data_dropout)
        for unique in (*config.subsets, None):
            found[shape, unique] = Rung.of(
                model,
                config.data_tokens,
                batch=config.batch,
                evaluations=2 * config.points,  # early stopping looks often
                seed=seed,
                unique=unique,
            )
    return found


def _compute(config: "Config", seed: int) -> Declared:
    """Figures 11, 14: every size at every budget of exact FLOPs."""
    models = [_model(config, shape) for shape in config.compute_sizes]
    rungs = isoflop_rungs(models, config.budgets, batch=config.batch, evaluations=config.points, seed=seed)
    keys = [(budget, shape) for budget in config.budgets for shape in config.compute_sizes]
    return dict(zip(keys, rungs, strict=True))


def _shapes(config: "Config", seed: int) -> Declared:
    """Figures 5, 6: one size in several shapes; heads as near to 16 wide as divides, and several widths of the MLP."""
    found: Declared = {}
    for shape in dict.fromkeys(config.shapes):
        model = _model(config, shape, heads=_heads(shape[1]))
        found[shape] = Rung.of(model, config.shape_tokens, batch=config.batch, evaluations=config.points, seed=seed)
    middle = config.shapes[len(config.shapes) // 2]
    for heads in (1, 2):
        if heads != _heads(middle[1]) and middle[1] % (2 * heads) == 0:
            model = _model(config, middle, heads=heads)
            found["heads", heads] = Rung.of(
                model, config.shape_tokens, batch=config.batch, evaluations=config.points, seed=seed
            )
    middle = config.shapes[(len(config.shapes) - 1) // 2]
    for ratio in dict.fromkeys((4.0, *config.mlp_ratios)):
        layers, width = middle[0], _widened(middle[1], ratio)
        model = _model(config, (layers, width), heads=_heads(width), mlp_ratio=ratio)
        found["mlp", ratio] = Rung.of(
            model, config.shape_tokens, batch=config.batch, evaluations=config.points, seed=seed
        )
    return found


def _widened(width: int, ratio: float) -> int:
    """The width at which a layer with another MLP holds about as many parameters: (4 + 2 ratio) width²."""
    multiple = 4 if width < 64 else 8
    return width if ratio == 4 else multiple * round(width * (12 / (4 + 2 * ratio)) ** 0.5 / multiple)


def _heads(width: int) -> int:
    return next(heads for heads in range(max(1, round(width / 16)), 0, -1) if width % (2 * heads) == 0)


def _batches(config: "Config", seed: int) -> Declared:
    """Figures 10, 18: one size with batches of several sizes at a constant rate, which grows with the batch's root.

    For each batch a second rate, half as high, is tried, and the better one counts, as the paper tunes.
    """
    found: Declared = {}
    for batch in config.batches:
        plain = _rung(config, config.batch_shape, config.batch_tokens, seed, batch=batch)
        for factor in (1.0, 0.5):
            rate = plain.learning_rate * (batch / config.batch) ** 0.5 * factor
            found[batch, factor] = plain.model_copy(
                update={
                    "schedule": "constant",
                    "learning_rate": rate,
                    "warmup": min(plain.warmup, config.batch_tokens // 20),
                    "evaluations": 3 * config.points,
                }
            )
    return found


def _schedules(config: "Config", seed: int) -> Declared:
    """Figure 22: decays of several forms to the end of the run, and one laid out for a longer run and cut short."""
    shape, tokens = config.schedule_shape, config.schedule_tokens
    found: Declared = {name: _rung(config, shape, tokens, seed, schedule=name) for name in SCHEDULES}
    found["cut short"] = _rung(config, shape, tokens, seed, horizon=config.overlong * tokens)
    found["cosine to 0"] = _rung(config, shape, tokens, seed, final_fraction=0.0)
    return found


def _contexts(config: "Config", seed: int) -> Declared:
    """Figure 21: the second size with a short context, on as many tokens per step."""
    shape = config.sizes[min(2, len(config.sizes) - 1)]
    model = _model(config, shape, context=config.short_context)
    batch = config.batch * config.context // config.short_context
    short = Rung.of(model, config.recurrent_tokens, batch=batch, evaluations=config.points, seed=seed)
    return {"short": short, "full": _rung(config, shape, config.recurrent_tokens, seed)}


def _recurrent(config: "Config", seed: int) -> Declared:
    """Figure 7: decoders and LSTMs of as many non-embedding parameters."""
    found: Declared = {}
    for shape in config.recurrent_shapes:
        plain = _rung(config, shape, config.recurrent_tokens, seed)
        assert isinstance(plain.model, TransformerConfig)
        found["transformer", shape] = plain
        found["lstm", shape] = plain.model_copy(update={"model": matched(plain.model)})
    return found


def _universal(config: "Config", seed: int) -> Declared:
    """Figure 17: one block passed several times, the block by itself, and as many blocks."""
    layers, width = config.universal_shape
    shallow, deep = (_rung(config, (depth, width), config.recurrent_tokens, seed) for depth in (1, layers))
    assert isinstance(shallow.model, TransformerConfig)
    shared = shallow.model_copy(update={"model": UniversalConfig(decoder=shallow.model, passes=layers)})
    return {"one layer": shallow, "shared": shared, "all layers": deep}


_DECLARATIONS = {
    "sizes": _sizes,
    "data": _data,
    "compute": _compute,
    "shapes": _shapes,
    "batches": _batches,
    "schedules": _schedules,
    "contexts": _contexts,
    "recurrent": _recurrent,
    "universal": _universal,
}
