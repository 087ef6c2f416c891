"""Every check of a matrix finds what is broken, and only that."""

import pytest
from tekton.changing import DIGEST, GONE, KNOWN, PIPELINE, Case, changed
from tekton.semantic import Node, problems
from tekton.semantic.matrix import combinations

ONE, TWO, EACH, NAMED, GATE = *(f"spec.tasks[{place}]" for place in range(4)), "spec.finally[0]"
WHO = {"name": "who", "value": "x"}


def _many(number: int) -> list[str]:
    return [f"p{place}" for place in range(number)]


CASES = (
    # matrix
    Case(
        name="a matrix that is too big",
        base=PIPELINE,
        bad={f"{EACH}.matrix.params[0].value": _many(257)},
        says="257 combinations",
        good={f"{EACH}.matrix.params[0].value": _many(256)},
    ),
    Case(
        name="a matrix that a default makes too big",
        base=PIPELINE,
        bad={"spec.params[1].default": _many(257)},
        says="257 combinations",
        good={"spec.params[1].default": _many(256)},
    ),
    Case(
        name="a product that is too big",
        base=PIPELINE,
        bad={
            f"{EACH}.matrix.params[0].value": _many(129),
            f"{EACH}.matrix.params[+]": {"name": "tool-image", "value": [DIGEST, DIGEST]},
            f"{EACH}.params": [],
        },
        says="258 combinations",
        good={
            f"{EACH}.matrix.params[0].value": _many(128),
            f"{EACH}.matrix.params[+]": {"name": "tool-image", "value": [DIGEST, DIGEST]},
            f"{EACH}.params": [],
        },
    ),
    Case(
        name="include on top of the limit",
        base=PIPELINE,
        bad={
            f"{EACH}.matrix.params[0].value": _many(256),
            f"{EACH}.matrix.include": [{"name": "more", "params": [{"name": "who", "value": "new"}]}],
        },
        says="257 combinations",
        good={
            f"{EACH}.matrix.params[0].value": _many(256),
            f"{EACH}.matrix.include": [{"name": "more", "params": [{"name": "who", "value": "p1"}]}],
        },
    ),
    Case(
        name="in params and in the matrix",
        base=PIPELINE,
        bad={f"{EACH}.params[+]": WHO},
        says="'who' is in params and in the matrix",
    ),
    Case(
        name="in params and in include",
        base=PIPELINE,
        bad={f"{NAMED}.params[+]": WHO},
        says="'who' is in params and in the matrix",
    ),
    Case(name="an empty matrix", base=PIPELINE, bad={f"{EACH}.matrix": {}}, says="the matrix is empty"),
    Case(
        name="a matrix over text",
        base=PIPELINE,
        bad={f"{EACH}.matrix.params[0].value": "$(params.people[0])"},
        says="'who' is fanned out and no array",
    ),
    Case(
        name="an array in include",
        base=PIPELINE,
        bad={f"{NAMED}.matrix.include[0].params[0].value": ["x"]},
        says="'who' is no string",
    ),
    Case(
        name="a matrix over a parameter that the task does not take",
        base=PIPELINE,
        bad={f"{EACH}.matrix.params[0].name": "whom"},
        says="no parameter 'whom' is taken",
    ),
    Case(
        name="a matrix over an array parameter",
        base=PIPELINE,
        bad={f"{EACH}.matrix.params[0].name": "others"},
        says="'others' is given string, the parameter is array",
    ),
    Case(
        name="a parameter fanned out twice",
        base=PIPELINE,
        bad={f"{EACH}.matrix.params[+]": {"name": "who", "value": ["x"]}},
        says="the parameter 'who' is there twice",
    ),
    Case(
        name="a parameter twice in a combination",
        base=PIPELINE,
        bad={f"{NAMED}.matrix.include[0].params[+]": WHO},
        says="the parameter 'who' is there twice",
    ),
    Case(
        name="a combination without a name",
        base=PIPELINE,
        bad={f"{NAMED}.matrix.include[0].name": GONE},
        says="the combination has no name",
    ),
    Case(
        name="a combination twice",
        base=PIPELINE,
        bad={f"{NAMED}.matrix.include[+]": {"name": "first", "params": [WHO]}},
        says="the combination 'first' is there twice",
        good={f"{NAMED}.matrix.include[+]": {"name": "second", "params": [WHO]}},
    ),
    Case(
        name="one result of a matrix",
        base=PIPELINE,
        bad={f"{GATE}.params[1].value": "$(tasks.each.results.GREETING)"},
        says="only [*] can be read",
    ),
    Case(
        name="one of the results of a matrix",
        base=PIPELINE,
        bad={f"{GATE}.params[1].value": "$(tasks.each.results.GREETING[0])"},
        says="only [*] can be read",
    ),
    Case(
        name="arrays of a matrix",
        base=PIPELINE,
        bad={f"{GATE}.params[2].value": "$(tasks.each.results.WORDS[*])"},
        says="only strings are gathered",
        good={f"{GATE}.params[2].value": "$(tasks.each.results.GREETING[*])"},
    ),
    Case(
        name="results of a matrix to a string",
        base=PIPELINE,
        bad={f"{GATE}.params[1].value": "$(tasks.each.results.GREETING[*])"},
        says="'who' is given array",
    ),
    Case(
        name="the length of no matrix",
        base=PIPELINE,
        bad={f"{GATE}.params[1].value": "$(tasks.one.matrix.length)"},
        says="'one' has no matrix",
        good={f"{GATE}.params[1].value": "$(tasks.each.matrix.length)"},
    ),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_is_broken_is_found(case: Case) -> None:
    found = [str(problem) for problem in problems(changed(case.base, case.bad), KNOWN)]
    assert [problem for problem in found if case.says in problem], found


@pytest.mark.parametrize("case", [case for case in CASES if case.good], ids=lambda case: case.name)
def test_what_only_looks_alike_is_not_found(case: Case) -> None:
    assert list(problems(changed(case.base, case.good), KNOWN)) == []


@pytest.mark.parametrize(
    ("matrix", "count"),
    [
        ({"params": [{"name": "a", "value": ["1", "2"]}, {"name": "b", "value": ["1", "2", "3"]}]}, 6),
        ({"include": [{"name": "x", "params": []}, {"name": "y", "params": []}]}, 2),
        (
            {
                "params": [{"name": "a", "value": ["1", "2"]}],
                "include": [{"params": [{"name": "b", "value": "x"}]}],
            },
            2,
        ),
        (
            {
                "params": [{"name": "a", "value": ["1", "2"]}],
                "include": [{"params": [{"name": "a", "value": "2"}]}],
            },
            2,
        ),
        (
            {
                "params": [{"name": "a", "value": ["1", "2"]}],
                "include": [{"params": [{"name": "a", "value": "3"}]}],
            },
            3,
        ),
        ({"params": [{"name": "a", "value": "$(params.known[*])"}]}, 3),
        ({"params": [{"name": "a", "value": ["1", "$(params.known[*])"]}]}, 4),
        ({"params": [{"name": "a", "value": "$(params.unknown[*])"}]}, 1),
    ],
)
def test_a_matrix_makes_as_many_runs_as_tekton_says(matrix: Node, count: int) -> None:
    assert combinations(matrix, {"known": ["x", "y", "z"]}) == count
