"""What is read from explanations as uv 0.13 words them."""

import pytest

from factory.gaps.needs import read_blame


@pytest.mark.parametrize(
    ("explanation", "absent", "needs"),
    [
        pytest.param(
            "Because nothere was not found in the package registry and you require nothere, we can conclude "
            "that your requirements are unsatisfiable.",
            {"nothere"},
            {(None, "nothere")},
            id="no such project",
        ),
        pytest.param(
            "Because only bb<=1.5 is available and all versions of aa depend on bb>=2, we can conclude that "
            "all versions of aa cannot be used.\nAnd because you require aa, we can conclude that your "
            "requirements are unsatisfiable.",
            {"bb"},
            {("aa", "bb>=2"), (None, "aa")},
            id="no version",
        ),
        pytest.param(
            "Because there is no version of bb==9 and you require bb==9, we can conclude that …",
            {"bb"},
            {(None, "bb==9")},
            id="no exact version",
        ),
        pytest.param(
            "Because mamba-ssm[causal-conv1d]>=2.2.5 has no usable wheels and training-hub[cuda]==0.9.2 "
            "depends on mamba-ssm[causal-conv1d]>=2.2.5, we can conclude that training-hub[cuda]==0.9.2 "
            "cannot be used.",
            {"mamba-ssm"},
            {("training-hub[cuda]==0.9.2", "mamba-ssm[causal-conv1d]>=2.2.5")},
            id="sdist only, with an extra",
        ),
        pytest.param(
            "Because plat==1.0 has no wheels with a matching platform tag (e.g., `x`) and "
            "only plat==1.0 is available, we can conclude that all versions of plat cannot be used.",
            {"plat"},
            set(),
            id="another platform",
        ),
        pytest.param(
            "Because newpy==1.0 requires Python >=3.13 and only newpy==1.0 is available, …",
            {"newpy"},
            set(),
            id="another Python",
        ),
        pytest.param(
            "Because unsloth>=2026.10.1 depends on one of:\n"
            "             datasets>=3.4.1,<4.0.dev0\n             datasets>4.5.0,<5.0.0\n"
            "and trainer>=0.8.3 depends on datasets>=5.0.0, we can conclude that …",
            set(),
            {
                ("unsloth>=2026.10.1", "datasets<4.0.dev0,>=3.4.1 or datasets<5.0.0,>4.5.0"),
                ("trainer>=0.8.3", "datasets>=5.0.0"),
            },
            id="a choice",
        ),
        pytest.param(
            "Because all versions of ca depend on pre<1 and you require ca, we can conclude that you "
            "require pre<1.\nAnd because you require pre>=1, we can conclude that your requirements are …",
            set(),
            {("ca", "pre<1"), (None, "ca"), (None, "pre>=1")},
            id="what uv concludes is nobody's requirement",
        ),
        pytest.param("something that no uv says", set(), set(), id="nothing"),
    ],
)
def test_absent_names_and_requirements(
    explanation: str, absent: set[str], needs: set[tuple[str | None, str]]
) -> None:
    blame = read_blame(explanation)
    assert blame.absent == absent
    assert {(need.by, " or ".join(map(str, need.requirements))) for need in blame.needs} == needs


def test_words_that_are_no_requirements_are_not_taken_for_names() -> None:
    explanation = "Because only the following versions of flash-attn are available:\n  flash-attn<2.8\n"
    assert read_blame(explanation).absent == {"flash-attn"}
