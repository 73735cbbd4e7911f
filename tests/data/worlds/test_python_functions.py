"""References pass their own tests, in confinement and out of it, and what is wrong does not."""

import ast

import numpy as np
import pytest

from windtunnel.data.worlds.python_functions import OPERATIONS, TESTS, Operation, python_functions
from windtunnel.evaluation.code_execution import unit_tests
from windtunnel.evaluation.tasks import Models, Output, Sample
from windtunnel.laboratory.errors import UsageError


def passes(function, candidate):
    """Whether a candidate meets the asserts, read as data rather than run."""
    (check,) = ast.parse(function.test).body
    for line in check.body:
        argument, expected = line.test.left.args[0], line.test.comparators[0]
        if candidate(ast.literal_eval(argument)) != ast.literal_eval(expected):
            return False
    return len(check.body) == TESTS


def test_references_pass_their_own_tests():
    found = python_functions(300, np.random.default_rng(0))
    assert len({each.name for each in found}) == 300
    assert all(passes(each, each.reference) for each in found)
    assert {each.operations for each in found} == {1, 2}
    for each in found:
        (definition,) = ast.parse(each.prompt).body
        assert ast.get_docstring(definition).startswith("Return ")
        assert definition.name == each.name
        assert not passes(each, lambda _: None)


def test_the_argument_itself_is_never_right():
    found = python_functions(300, np.random.default_rng(1))
    assert not any(passes(each, lambda it: it) for each in found)


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda each: each.name)
def test_operations_give_what_they_say(operation: Operation):
    result = operation.compute({"number": 37, "text": "An apple", "numbers": [5, -2, 8, 4]}[operation.takes], 3)
    assert type(result) is {"number": int, "text": str, "numbers": list}[operation.gives]
    assert ("{k}" in operation.words) == ("{k}" in operation.name)


def test_the_scorer_of_human_eval_runs_them():
    function = next(each for each in python_functions(200, np.random.default_rng(3)) if each.name == "upper")
    facts = {"prompt": function.prompt, "test": function.test, "entry_point": function.name}
    sample = Sample("f", function.prompt, metadata=facts)
    outputs = [Output(text="    return s.upper()\n"), Output(text="    return s\n")]
    right, wrong = unit_tests()([sample] * 2, outputs, Models())
    assert (right.values["accuracy"], wrong.values["accuracy"]) == (1.0, 0.0)


def test_more_than_there_are_is_refused():
    with pytest.raises(UsageError, match="up to 500"):
        python_functions(501, np.random.default_rng(0))
    assert len(python_functions(500, np.random.default_rng(0))) == 500
