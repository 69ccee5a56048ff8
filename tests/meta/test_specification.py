"""What is read from a solution's docstrings."""

import pytest

from dojo.catalog import curriculum, specification


@pytest.fixture
def clauses_of(tmp_path, monkeypatch):
    """The clauses of a solution with the given source."""

    def read(source):
        (tmp_path / "solutions").mkdir(exist_ok=True)
        (tmp_path / "solutions" / "toy.py").write_text(source, encoding="utf-8")
        monkeypatch.setattr(curriculum, "ROOT", tmp_path)
        forget()
        return specification.clauses("toy")

    yield read
    monkeypatch.undo()
    forget()


def forget():
    """Let nothing be remembered of a solution that is written again."""
    for function in vars(specification).values():
        if hasattr(function, "cache_clear"):
            function.cache_clear()


def test_the_core_comes_before_the_further_clauses_in_each_docstring_and_over_all(clauses_of):
    function = (
        'def {0}():\n    """{0}.\n\n    Clauses:\n        {0}  A sentence.\n\n'
        '    Further clauses:\n        more-{0}  A sentence.\n    """\n\n\n'
    )
    assert list(clauses_of(function.format("b") + function.format("a"))) == ["b", "a", "more-b", "more-a"]
    assert list(specification.core_clauses("toy")) == ["b", "a"]
    assert list(specification.further_clauses("toy")) == ["more-b", "more-a"]


def test_a_clause_of_both_tiers_is_an_error(clauses_of):
    source = '"""Kata.\n\nClauses:\n    same  A.\n\nFurther clauses:\n    same  B.\n"""\n'
    with pytest.raises(ValueError, match="same twice"):
        clauses_of(source)


def test_a_clause_may_run_over_two_lines(clauses_of):
    source = (
        '"""Kata.\n\nClauses:\n    first   One line.\n    second  Two\n            lines.\n\nSource: nowhere.\n"""\n'
    )
    assert clauses_of(source) == {"first": "One line.", "second": "Two lines."}


def test_clauses_end_where_the_indent_ends(clauses_of):
    source = '"""Kata.\n\nClauses:\n    only  This.\n\nRaises:\n    error  not a clause\n"""\n'
    assert list(clauses_of(source)) == ["only"]


def test_clauses_of_functions_come_in_the_order_of_the_file(clauses_of):
    function = 'def {0}():\n    """{0}.\n\n    Clauses:\n        of-{0}  A sentence.\n    """\n\n\n'
    assert list(clauses_of(function.format("b") + function.format("a"))) == ["of-b", "of-a"]


def test_a_clause_stated_twice_is_an_error(clauses_of):
    function = 'def {0}():\n    """{0}.\n\n    Clauses:\n        same  A sentence.\n    """\n\n\n'
    with pytest.raises(ValueError, match="same twice"):
        clauses_of(function.format("a") + function.format("b"))


def test_a_slug_may_hold_digits(clauses_of):
    assert clauses_of('"""Kata.\n\nClauses:\n    float64  A sentence.\n"""\n') == {"float64": "A sentence."}


def test_a_line_that_is_no_clause_is_an_error(clauses_of):
    with pytest.raises(ValueError, match="a clause without a slug: Dtype  The dtype is kept"):
        clauses_of('"""Kata.\n\nClauses:\n    first  This.\n    Dtype  The dtype is kept.\n"""\n')


def test_private_parts_specify_nothing(clauses_of):
    assert clauses_of('def _helper():\n    """Help.\n\n    Clauses:\n        hidden  No.\n    """\n') == {}


def test_not_allowed_may_run_over_two_lines(clauses_of):
    clauses_of('"""Kata.\n\nNot allowed: torch.softmax, log_softmax,\nlogsumexp.\n"""\n')
    assert specification.not_allowed("toy") == ("torch.softmax", "log_softmax", "logsumexp")
