"""The decoder again, in float64, one query at a time: slow and plain, to check the fast one against."""

import math

import torch
from torch import Tensor

from windtunnel.models.transformer import Transformer


def logits(module: Transformer, row: list[int]) -> Tensor:
    """Next-token logits of one unpadded sequence, [position, vocabulary]."""
    config = module.config
    weights = {name: weight.detach().double() for name, weight in module.state_dict().items()}
    stream = [weights["embedding.weight"][token] for token in row]
    table = weights.get("position_vectors")
    if config.positions == "learned":
        stream = [x + table[position] for position, x in enumerate(stream)]
    for layer in range(config.layers):
        prefix = f"blocks.{layer}."
        normal = [_normalise(config, weights, prefix + "attention_normalization", x) for x in stream]
        updates = _attention(config, weights, prefix + "attention.", normal, table)
        stream = [x + update for x, update in zip(stream, updates, strict=True)]
        if config.mlp_ratio is not None:
            normal = [_normalise(config, weights, prefix + "mlp_normalization", x) for x in stream]
            stream = [x + _mlp(config, weights, prefix + "mlp.", y) for x, y in zip(stream, normal, strict=True)]
    unembedding = weights["embedding.weight" if config.tied_embeddings else "unembedding.weight"]
    return torch.stack([unembedding @ _normalise(config, weights, "final_normalization", x) for x in stream])


def _linear(weights, name, x):
    y = weights[name + ".weight"] @ x
    return y + weights[name + ".bias"] if name + ".bias" in weights else y


def _normalise(config, weights, name, x):
    if config.normalization == "layernorm":
        x = x - x.mean()
    y = x / torch.sqrt((x**2).mean() + config.normalization_epsilon) * weights[name + ".weight"]
    return y + weights[name + ".bias"] if name + ".bias" in weights else y


def _mlp(config, weights, prefix, x):
    hidden = _linear(weights, prefix + "input", x)
    if config.activation == "swiglu":
        gate, up = hidden.chunk(2)
        hidden = gate / (1 + torch.exp(-gate)) * up
    else:
        hidden = hidden * 0.5 * (1 + torch.erf(hidden / math.sqrt(2)))
    return _linear(weights, prefix + "output", hidden)


def _attention(config, weights, prefix, normal, table):
    width, groups = config.width_of_head, config.heads // config.grouped_heads
    sizes = [config.heads * width, config.grouped_heads * width, config.grouped_heads * width]
    queries, keys, values = [], [], []
    for position, x in enumerate(normal):
        shifted = x + table[position] if config.positions == "sinusoidal_qk" else x
        query, key, _ = _linear(weights, prefix + "query_key_value", shifted).split(sizes)
        _, _, value = _linear(weights, prefix + "query_key_value", x).split(sizes)
        queries.append(query.view(-1, width))
        keys.append(key.view(-1, width))
        values.append(value.view(-1, width))
    if config.smeared_keys:
        share = torch.sigmoid(weights[prefix + "smear"])[:, None]
        keys = [keys[0]] + [share * keys[j] + (1 - share) * keys[j - 1] for j in range(1, len(keys))]
    if config.positions == "rotary":
        queries = [_rotate(config, q, position) for position, q in enumerate(queries)]
        keys = [_rotate(config, k, position) for position, k in enumerate(keys)]
    updates = []
    for i in range(len(normal)):
        z = []
        for head in range(config.heads):
            scores = [queries[i][head] @ keys[j][head // groups] / math.sqrt(width) for j in range(i + 1)]
            pattern = torch.stack(scores).softmax(dim=0)
            z.append(sum(pattern[j] * values[j][head // groups] for j in range(i + 1)))
        updates.append(_linear(weights, prefix + "output", torch.cat(z)))
    return updates


def _rotate(config, x, position):
    half = config.width_of_head // 2
    result = x.clone()
    for pair in range(half):
        angle = position * config.rotary_base ** (-2 * pair / config.width_of_head)
        a, b = x[:, pair], x[:, pair + half]
        result[:, pair] = a * math.cos(angle) - b * math.sin(angle)
        result[:, pair + half] = b * math.cos(angle) + a * math.sin(angle)
    return result
