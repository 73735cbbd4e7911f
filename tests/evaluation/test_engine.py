"""The engine: nothing is lost, nothing is asked twice, one bad sample fails only itself."""

import asyncio
import json
import math
from collections import Counter

import pytest
import torch
from serving import serving
from small_tasks import Ask, Match, right, small_task
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

from windtunnel.data.tokenizers import ByteTokenizer
from windtunnel.evaluation import engine
from windtunnel.evaluation.engine import CHUNK, evaluate, seed_for
from windtunnel.evaluation.mock import MockModel
from windtunnel.evaluation.provenance import describe_model, fingerprint
from windtunnel.evaluation.results import Results
from windtunnel.evaluation.tasks import Mark, Output, Sample, Task
from windtunnel.inference.remote import OutOfReach
from windtunnel.laboratory.errors import DataError, Unsupported, UsageError, WindtunnelError
from windtunnel.models.endpoint import connect
from windtunnel.models.interface import from_module
from windtunnel.models.transformer import Transformer, TransformerConfig


class Counting(Ask):
    """Notes every call, and raises on samples whose id is in `bad`."""

    def __init__(self, bad=(), error=None):
        self.calls, self.bad, self.error = [], set(bad), error or ValueError("no answer")

    def __call__(self, samples, models, seeds):
        self.calls.append([sample.id for sample in samples])
        if self.bad & {sample.id for sample in samples}:
            raise self.error
        return super().__call__(samples, models, seeds)


def test_results_are_those_of_asking_each_sample_by_itself(tmp_path):
    model, task = MockModel(), small_task(70)
    results = evaluate(task, model, out=tmp_path, seed=3)
    for sample, record in zip(task.dataset, results.records, strict=True):
        alone = model.generate([sample.input], seed=[seed_for(3, sample.id, 1)])[0].text
        assert record["output"]["text"] == alone
        assert record["mark"]["values"]["accuracy"] == (alone == sample.target)
        assert record["sample"] == sample.as_dict()
    assert Results.load(tmp_path).records == results.records
    assert Results.load(tmp_path).header == results.header
    assert evaluate(task, model, seed=3).records == results.records
    assert evaluate(task, model, seed=3, chunk=7).records == results.records
    assert evaluate(task, model, seed=4).records != results.records


def test_samples_come_in_chunks(tmp_path):
    solver = Counting()
    evaluate(small_task(CHUNK + 3, solver), MockModel(), out=tmp_path)
    assert [len(call) for call in solver.calls] == [CHUNK, 3]


def test_a_finished_evaluation_asks_nobody(tmp_path):
    solver = Counting()
    task = small_task(9, solver)
    first = evaluate(task, MockModel(), out=tmp_path)
    calls = len(solver.calls)
    again = evaluate(task, MockModel(), out=tmp_path)
    assert len(solver.calls) == calls
    assert again.records == first.records
    with pytest.raises(UsageError, match="already holds an evaluation"):
        evaluate(task, MockModel(), out=tmp_path, resume=False)


def test_a_stopped_evaluation_asks_only_for_the_rest(tmp_path):
    class Stops(Counting):
        def __call__(self, samples, models, seeds):
            if len(self.calls) == 2:
                raise KeyboardInterrupt
            return super().__call__(samples, models, seeds)

    with pytest.raises(KeyboardInterrupt):
        evaluate(small_task(10, Stops()), MockModel(), out=tmp_path, chunk=4)
    unfinished = Results.load(tmp_path)
    assert unfinished.counts == {"planned": 10, "scored": 8, "refused": 0, "failed": 0, "unasked": 2}
    with (tmp_path / "samples.jsonl").open("a") as file:
        file.write('{"id": "q8", "epo')  # as a crash while writing would leave it
    solver = Counting()
    results = evaluate(small_task(10, solver), MockModel(), out=tmp_path, chunk=4)
    assert solver.calls == [["q8", "q9"]]
    assert results.records == evaluate(small_task(10), MockModel()).records
    assert all(json.loads(line) for line in (tmp_path / "samples.jsonl").read_text().splitlines())


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"seed": 1}, "seed is 0 and this asks for 1"),
        ({"epochs": 2}, "epochs is 1 and this asks for 2"),
        ({"model": MockModel(name="mock:other")}, "name of the subject is 'mock:' and this asks for 'mock:other'"),
        ({"task": small_task(5)}, "digest is "),
        ({"task": small_task(4, name="other")}, "task is 'small' and this asks for 'other'"),
        ({"roles": {"judge": MockModel()}}, "name of the judge is None"),
    ],
)
def test_a_directory_of_another_evaluation_is_refused(tmp_path, change, named):
    asked = {"task": small_task(4), "model": MockModel()}
    evaluate(**asked, out=tmp_path)
    with pytest.raises(UsageError, match="holds another evaluation") as refused:
        evaluate(**(asked | change), out=tmp_path)
    assert named in str(refused.value)
    assert str(refused.value).count("\n") == 0


def test_a_limit_takes_the_first_samples_and_may_grow_and_shrink(tmp_path):
    solver = Counting()
    task = small_task(8, solver)
    assert [record["id"] for record in evaluate(task, MockModel(), out=tmp_path, limit=3).records] == ["q0", "q1", "q2"]
    assert evaluate(task, MockModel(), out=tmp_path, limit=5).counts["planned"] == 5
    assert solver.calls == [["q0", "q1", "q2"], ["q3", "q4"]]
    part = evaluate(task, MockModel(), out=tmp_path, limit=2)
    assert len(solver.calls) == 2
    assert (part.counts["planned"], part.counts["scored"]) == (2, 2)
    assert Results.load(tmp_path).counts["planned"] == 5


def test_epochs_ask_with_seeds_of_their_own(tmp_path):
    results = evaluate(small_task(40), MockModel(), out=tmp_path, epochs=3)
    assert results.counts["planned"] == 120
    texts = {(record["id"], record["epoch"]): record["output"]["text"] for record in results.records}
    assert list(texts)[:4] == [("q0", 1), ("q0", 2), ("q0", 3), ("q1", 1)]
    assert any(texts["q0", 1] != texts["q0", epoch] or texts["q1", 1] != texts["q1", epoch] for epoch in (2, 3))
    one = evaluate(small_task(40), MockModel(), epochs=1)
    assert all(record["output"]["text"] == texts[record["id"], 1] for record in one.records)


def test_one_bad_sample_fails_only_itself_and_is_asked_again(tmp_path):
    solver = Counting(bad=["q2"])
    results = evaluate(small_task(6, solver), MockModel(right), out=tmp_path)
    assert results.counts == {"planned": 6, "scored": 5, "refused": 0, "failed": 1, "unasked": 0}
    assert results.records[2]["output"]["error"] == "ValueError: no answer"
    assert results.records[2]["mark"] is None
    assert results.metric().value == pytest.approx(5 / 6)
    solver = Counting()
    results = evaluate(small_task(6, solver), MockModel(right), out=tmp_path)
    assert solver.calls == [["q2"]]
    assert results.counts["failed"] == 0
    assert results.records == evaluate(small_task(6), MockModel(right)).records
    assert Results.load(tmp_path).records == results.records


def test_a_scorer_that_cannot_judge_one_sample_judges_the_others():
    class Picky(Match):
        def __call__(self, samples, outputs, models):
            if any(sample.id == "q1" for sample in samples):
                raise WindtunnelError("The judge gave no verdict.")
            return super().__call__(samples, outputs, models)

    results = evaluate(small_task(4, scorer=Picky()), MockModel(right))
    assert results.counts["failed"] == 1
    assert results.records[1]["mark"] == {"error": "The judge gave no verdict."}
    assert results.records[1]["output"]["text"] == "B"
    assert results.values() == {("q0", 1): 1.0, ("q2", 1): 1.0, ("q3", 1): 1.0}


def test_a_mark_that_is_no_number_is_a_failure():
    class Broken(Match):
        def __call__(self, samples, outputs, models):
            marks = super().__call__(samples, outputs, models)
            return [Mark({"accuracy": math.nan}), *marks[1:]]

    results = evaluate(small_task(4, scorer=Broken()), MockModel(right))
    assert results.counts["failed"] == 1
    assert "not a finite number" in results.records[0]["mark"]["error"]


def test_outputs_with_an_error_are_not_judged():
    class Fails(Ask):
        def __call__(self, samples, models, seeds):
            outputs = super().__call__(samples, models, seeds)
            return [Output(prompt="p", error="too long"), *outputs[1:]]

    class Sees(Match):
        seen = ()

        def __call__(self, samples, outputs, models):
            self.seen = [sample.id for sample in samples]
            return super().__call__(samples, outputs, models)

    scorer = Sees()
    results = evaluate(small_task(3, Fails(), scorer), MockModel(right))
    assert scorer.seen == ["q1", "q2"]
    assert results.counts["failed"] == 1


def test_refusals_are_counted_and_judged():
    class Refuses(Ask):
        def __call__(self, samples, models, seeds):
            outputs = super().__call__(samples, models, seeds)
            return [Output(text="I will not.", refused=True), *outputs[1:]]

    results = evaluate(small_task(3, Refuses()), MockModel(right))
    assert results.counts == {"planned": 3, "scored": 3, "refused": 1, "failed": 0, "unasked": 0}
    assert results.metric().value == pytest.approx(2 / 3)


@pytest.mark.parametrize("error", [ValueError("a mistake in the solver"), UsageError("no such option")])
def test_an_error_on_every_sample_of_the_first_chunk_is_raised(tmp_path, error):
    task = small_task(4, Counting(bad=["q0", "q1", "q2", "q3"], error=error))
    with pytest.raises(type(error), match=str(error)):
        evaluate(task, MockModel(), out=tmp_path)
    assert Results.load(tmp_path).counts["unasked"] == 4


def test_later_chunks_may_fail_altogether():
    results = evaluate(small_task(4, Counting(bad=["q2", "q3"])), MockModel(right), chunk=2)
    assert results.counts["failed"] == 2


def test_what_a_model_cannot_do_at_all_stops_the_evaluation():
    solver = Counting(bad=["q3"], error=Unsupported("It gives no log-probabilities."))
    with pytest.raises(Unsupported, match="log-probabilities"):
        evaluate(small_task(4, solver), MockModel(), chunk=2)
    assert len(solver.calls) == 2


def test_a_missing_role_is_named():
    class Judged(Match):
        def __call__(self, samples, outputs, models):
            models["judge"].generate(["?"])
            return super().__call__(samples, outputs, models)

    with pytest.raises(UsageError, match="--model-role judge=MODEL"):
        evaluate(small_task(3, scorer=Judged()), MockModel())
    results = evaluate(small_task(3, scorer=Judged()), MockModel(), roles={"judge": "mock:yes"})
    assert results.header["models"]["judge"]["name"] == "mock:yes"
    with pytest.raises(UsageError, match="--model"):
        evaluate(small_task(3), MockModel(), roles={"subject": MockModel()})


def test_a_server_out_of_reach_stops_the_evaluation_and_loses_nothing(tmp_path):
    gone = Counting(bad=[f"q{number}" for number in range(4, 20)], error=OutOfReach("The server is gone."))
    with pytest.raises(OutOfReach, match="gone"):
        evaluate(small_task(20, gone), MockModel(right), out=tmp_path, chunk=4)
    assert len(gone.calls) == 1 + 1 + 3
    assert Results.load(tmp_path).counts == {"planned": 20, "scored": 4, "refused": 0, "failed": 0, "unasked": 16}
    results = evaluate(small_task(20), MockModel(right), out=tmp_path, chunk=4)
    assert results.counts["scored"] == 20


def test_a_server_that_fails_here_and_there_does_not_stop_it():
    flaky = Counting(bad=["q1", "q2", "q4"], error=OutOfReach("Busy."))
    assert evaluate(small_task(6, flaky), MockModel(right)).counts["failed"] == 3


def test_a_solver_that_loses_count_is_told():
    class Short(Ask):
        def __call__(self, samples, models, seeds):
            return super().__call__(samples[1:], models, seeds[1:])

    with pytest.raises(TypeError, match="gave 2 results for 3 samples"):
        evaluate(small_task(3, Short()), MockModel())


def test_a_request_that_a_server_refuses_fails_one_sample_and_repeats_no_other(tmp_path):
    asked = Counter()

    async def answer(request):
        prompt = (await request.json())["prompt"]
        asked[prompt] += 1
        if "3" in prompt:
            return JSONResponse({"error": {"message": "not that one"}}, 400)
        return JSONResponse({"choices": [{"text": right(prompt), "finish_reason": "stop"}]})

    with serving(Starlette(routes=[Route("/v1/completions", answer, methods=["POST"])])) as url:
        results = evaluate(small_task(8), f"openai:m@{url}", out=tmp_path)
    assert results.counts == {"planned": 8, "scored": 7, "refused": 0, "failed": 1, "unasked": 0}
    assert "not that one" in results.records[3]["output"]["error"]
    assert results.metric(missing=None).value == 1
    assert sorted(asked.values()) == [1] * 7 + [2]
    assert (tmp_path / "calls-subject.jsonl").exists()


def test_requests_are_shown_while_a_chunk_of_a_server_is_under_way(monkeypatch):
    async def answer(request):
        await asyncio.sleep(0.05)
        return JSONResponse({"choices": [{"text": "A", "finish_reason": "stop"}]})

    seen = []
    monkeypatch.setattr(engine, "SECONDS_BETWEEN_COUNTS", 0.01)
    monkeypatch.setattr(engine.Shown, "update", lambda self, done, **shown: seen.append((done, shown.get("requests"))))
    with serving(Starlette(routes=[Route("/v1/completions", answer, methods=["POST"])])) as url:
        evaluate(small_task(8), connect(f"openai:m@{url}", concurrency=2))
    assert {requests for done, requests in seen if done == 0} >= {"2", "4", "6", "8"}
    assert seen[-1][0] == 8


def test_a_server_nobody_runs_stops_the_evaluation_with_a_sentence(tmp_path):
    model = connect("openai:m@http://127.0.0.1:9/v1", attempts=1)
    with pytest.raises(OutOfReach, match="the connection failed"):
        evaluate(small_task(8), model, out=tmp_path)
    assert Results.load(tmp_path).counts["unasked"] == 8


@pytest.mark.parametrize("options", [{"limit": 0}, {"epochs": 0}, {"chunk": 0}])
def test_numbers_out_of_range_are_refused(options):
    with pytest.raises(UsageError, match="must be at least 1, not 0"):
        evaluate(small_task(3), MockModel(), **options)


def test_two_processes_do_not_write_one_log(tmp_path):
    class Meddles(Ask):
        def __call__(self, samples, models, seeds):
            with pytest.raises(WindtunnelError, match="in use by another windtunnel process"):
                evaluate(small_task(2), MockModel(), out=tmp_path)
            return super().__call__(samples, models, seeds)

    assert evaluate(small_task(2, Meddles()), MockModel(), out=tmp_path).counts["scored"] == 2


def test_strange_text_comes_back_as_it_was(tmp_path):
    odd = '\ud800 lone, \x00 nul, \u2028 line, \U0001f600, \r\n\t"quotes"'
    task = small_task(3, dataset=[Sample("a", odd, odd), Sample("b", "", ""), Sample("c", "x", "")])
    results = evaluate(task, MockModel(lambda prompt: prompt), out=tmp_path)
    loaded = Results.load(tmp_path)
    assert loaded.counts["scored"] == 3
    assert loaded.records == results.records
    assert loaded.records[0]["sample"]["input"] == odd
    assert len(loaded.header["prompts_sha256"]) == 64


def test_the_header_says_what_it_was_made_with(tmp_path):
    header = evaluate(small_task(3), MockModel(), out=tmp_path, source={"task": "here"}).header
    assert {"windtunnel", "torch"} <= header["versions"].keys()
    assert header["solver"] == {"solver": "ask"}
    assert header["digest"] == small_task(3).digest
    assert header["source"] == {"task": "here"}
    assert {"started", "finished", "seconds", "command", "hardware"} <= header.keys()


def test_a_fingerprint_follows_the_weights_and_not_their_precision():
    model = from_module(
        Transformer(TransformerConfig(vocabulary=20, context=8, layers=1, width=16, heads=2), torch.Generator())
    )
    first = describe_model(model)
    assert {"weights", "dtype", "device"} <= first.keys()
    with torch.no_grad():
        for parameter in model.module.parameters():
            parameter.copy_(parameter.bfloat16().float())
    rounded = fingerprint(model.module)
    assert rounded != first["weights"]
    assert fingerprint(model.module.bfloat16()) == rounded
    with torch.no_grad():
        next(model.module.parameters()).add_(1.0)
    assert fingerprint(model.module) != rounded
    assert "weights" not in describe_model(MockModel())


def test_a_task_checks_its_samples():
    with pytest.raises(DataError, match="2 samples with the id 'a'"):
        Task("t", [Sample("a", "x"), Sample("a", "y")], Ask(), Match())
    with pytest.raises(DataError, match="no samples"):
        Task("t", [], Ask(), Match())
    with pytest.raises(DataError, match="3 choices and its target is 3"):
        Sample("a", "x", 3, ("x", "y", "z"))
    with pytest.raises(DataError, match="not JSON-ready"):
        _ = Task("t", [Sample("a", "x", metadata={"no": object()})], Ask(), Match()).digest


def test_a_digest_tells_tasks_apart():
    base = small_task(3).digest
    assert base == small_task(3).digest
    others = [
        small_task(4),
        small_task(3, version="2"),
        small_task(3, name="other"),
        small_task(3, dataset=[Sample("q0", "x"), *small_task(3).dataset[1:]]),
    ]
    assert len({base, *(task.digest for task in others)}) == 5


@pytest.mark.parametrize(
    "record",
    [
        Sample("a", ({"role": "user", "content": "?"},), ("x", "y"), metadata={"n": [1]}, cluster="c"),
        Sample("a", "q", 0, ("yes", "no")),
        Output("p", "t", (-1.5, -math.inf), (1, 2), (-2.0, -3.0), "end", True, "e", {"k": 1}),
        Mark({"accuracy": 0.0}, "a", "b", "c"),
    ],
)
def test_records_come_back_from_json(record):
    assert type(record).from_dict(json.loads(json.dumps(record.as_dict(), allow_nan=False))) == record


class Both(Ask):
    """Samples, and scores what was sampled."""

    def __call__(self, samples, models, seeds):
        outputs = super().__call__(samples, models, seeds)
        models["subject"].score([output.prompt for output in outputs], [" yes"] * len(outputs))
        return outputs


def test_an_evaluation_that_samples_and_scores_says_by_how_much_they_differ():
    config = TransformerConfig(vocabulary=259, context=256, layers=1, width=16, heads=2)
    model = from_module(Transformer(config, torch.Generator().manual_seed(0)), ByteTokenizer())
    assert "sampling_gap" not in evaluate(small_task(3), model).header
    assert 0 <= evaluate(small_task(3, Both()), model).header["sampling_gap"] < 1e-4
