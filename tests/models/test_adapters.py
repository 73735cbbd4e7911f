"""Adapters: what they compute, learn, keep and give back, on decoders trained here and on those of transformers."""

import copy
import json
import math
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import distributed
from torch.nn import functional
from torch.testing import assert_close
from training import small

from tests.models.kinds import KINDS, model, original, tokens
from tests.models.shapes import perturbed
from tests.models.texts import truncate
from windtunnel.laboratory.errors import DataError, UsageError
from windtunnel.laboratory.run import Run
from windtunnel.models.adapters import attach, detach, load, merge, save
from windtunnel.models.checkpoint import save as save_checkpoint
from windtunnel.models.interface import from_module
from windtunnel.models.interface import load as load_model
from windtunnel.models.low_rank import Adapted
from windtunnel.models.transformer import TransformerConfig
from windtunnel.models.weights import attention_weights
from windtunnel.training.loop import train
from windtunnel.training.objectives import next_token

CLOSE = {"atol": 1e-5, "rtol": 1e-5}
SUFFIXES = {"llama": ["q_proj", "v_proj"], "gpt2": ["c_attn", "mlp.c_proj"]}


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def filled(module: torch.nn.Module) -> None:
    """B as after some training."""
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if name.endswith("lora_B"):
                parameter.copy_(0.2 * torch.randn(parameter.shape, generator=generator(9)))


def weights(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


def assert_same(first, second):
    assert list(first) == list(second)
    for name in first:
        assert torch.equal(first[name], second[name]), name


def types(module: torch.nn.Module) -> list[type]:
    return [type(part) for part in module.modules()]


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_a_new_adapter_changes_nothing_a_trained_one_is_merged_or_taken_away(kind):
    subject = model(kind)
    next(subject.module.parameters()).requires_grad_(False)
    module, plain, before, classes = subject.module, subject(tokens()), weights(subject.module), types(subject.module)
    trainable = [name for name, parameter in module.named_parameters() if parameter.requires_grad]
    paths = attach(module, rank=3, alpha=6)
    assert torch.equal(subject(tokens()), plain)
    linear = [n for n, part in module.named_modules() if isinstance(part, torch.nn.Linear | Adapted) and "0." in n]
    assert [path for path in paths if "0." in path] == linear
    assert not [path for path in paths if "head" in path or "embed" in path]
    filled(module)
    adapted = subject(tokens())
    assert (adapted - plain).abs().max() > 0.1
    detach(module)
    assert_same(weights(module), before)
    assert torch.equal(subject(tokens()), plain)
    attach(module, rank=3, alpha=6)
    filled(module)
    merge(module)
    assert_close(subject(tokens()), adapted, **CLOSE)
    assert types(module) == classes
    assert [name for name, parameter in module.named_parameters() if parameter.requires_grad] == trainable
    assert list(weights(module)) == list(before)


@pytest.mark.parametrize("stabilised", [False, True])
@torch.no_grad()
def test_an_adapted_layer_computes_what_the_paper_says(stabilised):
    module = original("gpt2")
    attach(module, rank=4, alpha=6, targets=["mlp.c_fc"], generator=generator(5), rank_stabilised=stabilised)
    filled(module)
    layer = module.get_submodule("transformer.h.1.mlp.c_fc")
    x = torch.randn(2, 3, 16, generator=generator(1))
    scale = 6 / math.sqrt(4) if stabilised else 6 / 4
    update = scale * (x @ layer.lora_A.T @ layer.lora_B.T)
    assert_close(layer(x), x @ layer.base_weight + layer.bias + update, **CLOSE)
    assert_close(x @ layer.weight, x @ layer.base_weight + update, **CLOSE)


def test_a_is_drawn_uniformly_from_the_generator_alone():
    module, again, other = (original("llama") for _ in range(3))
    state = torch.random.get_rng_state()
    attach(module, rank=64, generator=generator(3))
    attach(again, rank=64, generator=generator(3))
    attach(other, rank=64, generator=generator(4))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert_same(weights(module), weights(again))
    layer = module.model.layers[0].mlp.down_proj
    bound = layer.in_features**-0.5
    assert 0.99 * bound < layer.lora_A.abs().max() <= bound
    assert_close(layer.lora_A.std().item(), bound / math.sqrt(3), rtol=0.05, atol=0)
    assert not torch.equal(layer.lora_A, other.model.layers[0].mlp.down_proj.lora_A)


def test_dropout_hides_inputs_from_the_adapter_only_and_only_in_training():
    module = original("llama")
    attach(module, targets=["o_proj"], dropout=0.5)
    filled(module)
    layer = module.model.layers[0].self_attn.o_proj
    x = torch.ones(4000, layer.in_features)
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(0)
        still, noisy = layer.eval()(x), layer.train()(x)
    assert torch.equal(still[0], still[1])
    assert noisy.std(0).min() > 0.01
    assert_close(noisy.mean(0), still[0], atol=0.1, rtol=0.05)


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_sites_fire_and_show_the_adapted_model(kind):
    """Every activation with an adapter is that of a model whose weights were changed by as much."""
    subject, merged = model(kind), model(kind)
    for each in (subject, merged):
        attach(each.module.double(), rank=3)
        filled(each.module)
    merge(merged.module)
    with subject.record(*subject.sites) as found, merged.record(*merged.sites) as expected:
        logits = subject(tokens())
        merged(tokens())
    assert set(found) == set(subject.sites)
    for site in found:
        assert_close(found[site], expected[site], **CLOSE, msg=site)
    site = "blocks.1.attn.hook_z"
    with subject.intervene({site: torch.zeros_like}), merged.intervene({site: torch.zeros_like}):
        changed = subject(tokens())
        assert_close(changed, merged(tokens()), **CLOSE)
    assert (changed - logits).abs().max() > 1e-3
    for first, second in zip(
        vars(attention_weights(subject, 0)).values(), vars(attention_weights(merged, 0)).values(), strict=True
    ):
        assert_close(first, second, **CLOSE)
    prompts = [[1, 2, 3], [4], [5, 6], [7, 8], [9]]
    sampled, wanted = (each.generate(prompts, max_new_tokens=4, temperature=0) for each in (subject, merged))
    assert [sample.token_ids for sample in sampled] == [sample.token_ids for sample in wanted]


def test_the_loop_trains_the_adapter_alone_and_resumes(tmp_path):
    config = small.CONFIG.model_copy(update={"steps": 40, "learning_rate": 3e-2, "checkpoint_every": 20})
    module = small.model(layers=2)
    before = weights(module)
    attach(module, rank=4, generator=generator())
    untrained = copy.deepcopy(module)
    result = train(module, next_token, small.source(), config, run=Run(tmp_path / "whole"))
    losses = [loss for _, loss in result.losses]
    assert sum(losses[-5:]) / 5 < losses[0] - 0.05
    after = weights(module)
    frozen = {name.replace("base_weight", "weight"): value for name, value in after.items() if "lora_" not in name}
    assert_same(frozen, before)
    assert all((after[name] != 0).any() for name in after if name.endswith("lora_B"))
    # Killed after step 20, it goes on to the same numbers.
    run = Run(tmp_path / "whole")
    again = copy.deepcopy(untrained)
    shutil.rmtree(tmp_path / "whole/checkpoints/step-00000040")
    assert train(again, next_token, small.source(), config, run=run).steps == 40
    assert_same(weights(again), after)
    detach(module)
    assert_same(weights(module), before)


def test_an_adapter_trains_sharded_as_it_does_alone():
    distributed.init_process_group("gloo", store=distributed.HashStore(), rank=0, world_size=1)
    try:
        trained = []
        for how in ("none", "fsdp"):
            module = small.model()
            attach(module, rank=4, generator=generator())
            trained.append(train(module, next_token, small.source(), small.CONFIG, distribute=how))
    finally:
        distributed.destroy_process_group()
    assert_close(torch.tensor(trained[0].losses), torch.tensor(trained[1].losses))


def test_half_precision_keeps_the_adapter_in_single():
    module = original("llama").bfloat16()
    attach(module, rank=2)
    filled(module)
    layer = module.model.layers[0].mlp.up_proj
    assert (layer.lora_A.dtype, layer.weight.dtype) == (torch.float32, torch.bfloat16)
    loss = functional.cross_entropy(module(tokens()).logits.flatten(0, 1).float(), tokens().flatten())
    loss.backward()
    assert layer.lora_A.grad is not None
    assert layer.base_weight.grad is None
    merge(module)
    assert {parameter.dtype for parameter in module.parameters()} == {torch.bfloat16}


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_what_is_saved_is_loaded(kind, tmp_path):
    first, second = model(kind), model(kind)
    paths = attach(first.module, rank=3, alpha=5, dropout=0.1, rank_stabilised=True)
    filled(first.module)
    save(first.module, tmp_path, base="somewhere/base")
    assert sorted(load(second.module, tmp_path)) == sorted(paths)
    assert_same(dict(sorted(weights(second.module).items())), dict(sorted(weights(first.module).items())))
    assert torch.equal(second(tokens()), first(tokens()))
    save(second.module, tmp_path / "again", base="somewhere/base")
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / name).read_bytes()
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    assert (config["peft_type"], config["base_model_name_or_path"]) == ("LORA", "somewhere/base")
    assert (config["r"], config["lora_alpha"], config["lora_dropout"]) == (3, 5, 0.1)
    names = {f"base_model.model.{path}.{matrix}.weight" for path in paths for matrix in ("lora_A", "lora_B")}
    assert set(load_file(tmp_path / "adapter_model.safetensors")) == names


@pytest.mark.parametrize(
    ("targets", "named"),
    [
        (["c_attn", "mlp.c_fc"], ["c_attn", "c_fc"]),
        (["mlp.c_proj"], ["transformer.h.0.mlp.c_proj", "transformer.h.1.mlp.c_proj"]),  # attention has one, too
        (["h.1.attn.c_attn"], ["transformer.h.1.attn.c_attn"]),
    ],
)
def test_the_saved_targets_name_the_adapted_layers_and_no_others(targets, named, tmp_path):
    module = original("gpt2")
    attach(module, targets=targets)
    save(module, tmp_path)
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    assert (config["target_modules"], config["fan_in_fan_out"]) == (named, True)


@torch.no_grad()
def test_ranks_and_alphas_of_single_layers(tmp_path):
    first, second = model("llama"), model("llama")
    attach(first.module, rank=3, alpha=6, targets=["q_proj", "up_proj"])
    save(first.module, tmp_path)
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    config |= {"rank_pattern": {"q_proj": 2}, "alpha_pattern": {r"layers\.1\.mlp\.up_proj": 7}}
    tensors = load_file(tmp_path / "adapter_model.safetensors")
    for name, tensor in tensors.items():
        rank = 2 if "q_proj" in name else 3
        tensor = tensor[:rank] if "lora_A" in name else torch.full_like(tensor, 0.1)[:, :rank]
        tensors[name] = tensor.contiguous()
    (tmp_path / "adapter_config.json").write_text(json.dumps(config))
    save_file(tensors, tmp_path / "adapter_model.safetensors")
    detach(first.module)
    load(first.module, tmp_path)
    scales = {path: part.low_rank.scale for path, part in first.module.named_modules() if isinstance(part, Adapted)}
    assert scales == {
        "model.layers.0.self_attn.q_proj": 3.0,
        "model.layers.1.self_attn.q_proj": 3.0,
        "model.layers.0.mlp.up_proj": 2.0,
        "model.layers.1.mlp.up_proj": 7 / 3,
    }
    save(first.module, tmp_path / "again")
    load(second.module, tmp_path / "again")
    assert torch.equal(second(tokens()), first(tokens()))


def _saved(directory):
    module = original("llama")
    attach(module, rank=3, targets=["q_proj"])
    save(module, directory)


def _cut(directory):
    truncate(directory / "adapter_model.safetensors")


def _without(name):
    return lambda directory: (directory / name).unlink()


def _text(words):
    return lambda directory: (directory / "adapter_config.json").write_text(words)


def _config(**changes):
    def edit(directory):
        path = directory / "adapter_config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))

    return edit


def _tensors(change):
    def edit(directory):
        path = directory / "adapter_model.safetensors"
        save_file({k: v.contiguous() for k, v in change(load_file(path)).items()}, path)

    return edit


FIRST = "base_model.model.model.layers.0.self_attn.q_proj"
SPOILT = [
    (_without("adapter_config.json"), "cannot be read .No such file"),
    (_without("adapter_model.safetensors"), "does not exist"),
    (_cut, "not a whole safetensors file"),
    (_text("{"), "JSON"),
    (_text("[]"), "object"),
    (_config(peft_type="IA3"), "peft_type: .* not 'IA3'"),
    (_config(bias="lora_only"), "bias: .* not 'lora_only'"),
    (_config(r=0), "r: .* not 0"),
    (_config(lora_dropout=1.0), "lora_dropout"),
    (_config(use_dora=True), "use_dora"),
    (_config(lora_bias=True), "lora_bias"),
    (_config(modules_to_save=["lm_head"]), "modules_to_save .*lm_head"),
    (_config(layer_replication=[[0, 1], [0, 1]]), "layer_replication"),
    (_config(init_lora_weights="pissa_niter_4"), "init_lora_weights.* not 'pissa_niter_4'"),
    (_config(an_option_of_the_future={"on": 1}), "an_option_of_the_future"),
    (_config(target_modules="*"), "no regular expression"),
    (_config(rank_pattern={"(": 2}), "no regular expression"),
    (_config(rank_pattern={"q_proj": 0}), "rank_pattern.q_proj"),
    (_config(target_modules=["v_proj"]), r"layers.0.self_attn.q_proj.lora_A.weight', which target_modules"),
    (_config(target_modules=r"model\.layers\.1.*"), r"layers.0.self_attn.q_proj.lora_A.weight', which target_modules"),
    (_config(r=4), r"shape \(3, 16\) as lora_A of model.layers.0.self_attn.q_proj .* need \(4, 16\)"),
    (_tensors(lambda t: {**t, f"{FIRST}.lora_B.weight": torch.ones(23, 3)}), r"\(23, 3\) .* need \(24, 3\)"),
    (_tensors(lambda t: {k: v for k, v in t.items() if k != f"{FIRST}.lora_B.weight"}), "no lora_B of model.layers.0"),
    (_tensors(lambda t: {**t, f"{FIRST}.lora_magnitude_vector": torch.ones(24)}), "lora_magnitude_vector"),
    (_tensors(lambda t: {}), "no tensors"),
]


@pytest.mark.parametrize(("spoil", "words"), SPOILT)
def test_a_spoilt_adapter_is_one_clear_sentence_and_leaves_the_model_alone(tmp_path, spoil, words):
    _saved(tmp_path)
    spoil(tmp_path)
    module = original("llama")
    before, classes = weights(module), types(module)
    with pytest.raises(DataError, match=words) as caught:
        load(module, tmp_path)
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert_same(weights(module), before)
    assert types(module) == classes
    assert all(parameter.requires_grad for parameter in module.parameters())


def test_an_adapter_of_another_model_names_the_module_that_is_not_there(tmp_path):
    _saved(tmp_path)
    with pytest.raises(DataError, match=r"model\.layers\.0\.self_attn\.q_proj, which this GPT2LMHeadModel lacks"):
        load(original("gpt2"), tmp_path)


def test_options_that_change_nothing_are_passed_over(tmp_path):
    _saved(tmp_path)
    _config(
        peft_version="9.9", layers_to_transform=[0, 1], revision="main", use_dora=None, target_modules="all-linear"
    )(tmp_path)
    assert len(load(original("llama"), tmp_path)) == 2


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"rank": 0}, "rank must be 1 or more"),
        ({"alpha": math.inf}, "alpha finite"),
        ({"dropout": 1.0}, "dropout"),
        ({"targets": "q_proj"}, "list"),
        ({"targets": []}, "at least one"),
        ({"targets": ["proj"]}, "ends in 'proj'; linear layers here are .*q_proj"),
        ({"targets": ["q_proj", "query"]}, "ends in 'query'"),
        ({"targets": ["norm"]}, "model.norm is of type LlamaRMSNorm"),
        ({"targets": ["embed_tokens"]}, "of type Embedding"),
    ],
)
def test_what_cannot_be_attached_is_refused(options, words):
    module = original("llama")
    with pytest.raises(UsageError, match=words):
        attach(module, **options)
    assert not any(isinstance(part, Adapted) for part in module.modules())
    assert all(parameter.requires_grad for parameter in module.parameters())


def test_tied_weights_unknown_blocks_and_second_adapters_are_refused(tmp_path):
    tied = original("gpt2")
    with pytest.raises(UsageError, match="lm_head shares its weight"):
        attach(tied, targets=["lm_head"])
    with pytest.raises(UsageError, match="name the targets"):
        attach(torch.nn.Sequential(torch.nn.Linear(2, 2)))
    for act in (merge, detach, lambda module: save(module, tmp_path)):
        with pytest.raises(UsageError, match="no adapter of its own"):
            act(tied)
    attach(tied)
    _saved(tmp_path)
    for act in (attach, lambda module: load(module, tmp_path)):
        with pytest.raises(UsageError, match="already"):
            act(tied)
    with pytest.raises(UsageError, match="no adapter of its own"):
        merge(tied.transformer)


@pytest.mark.parametrize("stabilised", [False, True])
@pytest.mark.parametrize("kind", SUFFIXES)
@torch.no_grad()
def test_an_adapter_made_by_peft_is_loaded_and_ours_by_peft(kind, stabilised, tmp_path):
    peft = pytest.importorskip("peft")
    config = peft.LoraConfig(
        r=4,
        lora_alpha=6,
        target_modules=SUFFIXES[kind],
        use_rslora=stabilised,
        rank_pattern={SUFFIXES[kind][0]: 2},
        alpha_pattern={f"1.{'self_attn' if kind == 'llama' else 'attn'}.{SUFFIXES[kind][0]}": 9},
        fan_in_fan_out=kind == "gpt2",
        task_type="CAUSAL_LM",
    )
    theirs = peft.get_peft_model(original(kind), config).eval()
    for name, parameter in theirs.named_parameters():
        if "lora_" in name:
            parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator(7)))
    expected = theirs(tokens()).logits
    theirs.save_pretrained(tmp_path / "theirs")
    subject = model(kind)
    plain = subject(tokens())
    load(subject.module, tmp_path / "theirs")
    assert_close(subject(tokens()), expected, **CLOSE)
    assert (expected - plain).abs().max() > 0.1
    save(subject.module, tmp_path / "ours")
    first, second = (load_file(tmp_path / who / "adapter_model.safetensors") for who in ("theirs", "ours"))
    assert_same(dict(sorted(first.items())), dict(sorted(second.items())))
    back = peft.PeftModel.from_pretrained(original(kind), tmp_path / "ours").eval()
    assert_close(back(tokens()).logits, expected, **CLOSE)
    merge(subject.module)
    assert_close(subject(tokens()), back.merge_and_unload()(tokens()).logits, **CLOSE)


@pytest.mark.parametrize("kind", SUFFIXES)
@torch.no_grad()
def test_our_default_adapter_in_peft(kind, tmp_path):
    peft = pytest.importorskip("peft")
    subject = model(kind)
    attach(subject.module, rank=3, rank_stabilised=True)
    filled(subject.module)
    save(subject.module, tmp_path)
    theirs = peft.PeftModel.from_pretrained(original(kind), tmp_path).eval()
    assert_close(theirs(tokens()).logits, subject(tokens()), **CLOSE)


def test_positions_added_to_queries_and_keys_see_the_adapter():
    """Position vectors join the inputs of queries and keys through `weight`, so the update must be in it."""
    module = perturbed(
        TransformerConfig(vocabulary=31, context=16, layers=1, width=16, heads=2, positions="sinusoidal_qk")
    )
    subject = from_module(module)
    attach(module, targets=["query_key_value"])
    filled(module)
    with torch.no_grad():
        adapted = subject(tokens())
        merge(module)
        assert_close(subject(tokens()), adapted, **CLOSE)


def test_an_adapters_directory_is_a_model_by_its_path(tmp_path):
    config = TransformerConfig(vocabulary=40, context=16, layers=1, width=16, heads=2)
    module = perturbed(config)
    save_checkpoint(module, tmp_path / "base")
    attach(module, rank=2, generator=generator(1))
    filled(module)
    save(module, tmp_path / "adapter", base="../base")
    found = load_model(tmp_path / "adapter")
    with torch.no_grad():
        assert_close(found([1, 2, 3]), from_module(module)([1, 2, 3]))
        assert not torch.allclose(found([1, 2, 3]), load_model(tmp_path / "base")([1, 2, 3]))
    save(module, tmp_path / "nameless")
    with pytest.raises(DataError, match="does not name its base_model_name_or_path"):
        load_model(tmp_path / "nameless")
    save(module, tmp_path / "itself", base="../itself")
    with pytest.raises(DataError, match="an adapter itself; merge"):
        load_model(tmp_path / "itself")
