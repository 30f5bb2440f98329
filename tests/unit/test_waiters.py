"""The comparison with other waiters is of what the program plays, to whom it plays it."""

import re

from bench.waiters import CASES, COLUMNS, WAITERS
from tests.documents.documents import DOCUMENTS

CODES, FEATURES = DOCUMENTS["docs/comparison.md"].tables


def test_the_tables_have_the_waiters_of_the_program() -> None:
    """Both tables have a row for each waiter, in the same order, and no other."""
    names = [waiter.name for waiter in WAITERS]

    assert [row[0] for row in CODES[1:]] == names
    assert [row[0] for row in FEATURES[1:]] == names


def test_the_table_has_the_cases_of_the_program() -> None:
    """The columns are what is played and what is noted, and each row has a code for each case."""
    assert tuple(CODES[0]) == COLUMNS
    for _, *cells in CODES[1:]:
        for cell in cells[: len(CASES)]:
            assert re.fullmatch(r"\*\*0\*\*|[1-9]\d*", cell)
