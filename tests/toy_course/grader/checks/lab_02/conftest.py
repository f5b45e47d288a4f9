"""What the ledger holds before the program starts."""

import pytest


@pytest.fixture(scope="session")
def opening_entry(seed: int) -> str:
    return f"opening balance {seed}"


@pytest.fixture(scope="session")
def starting_database(opening_entry: str) -> str:
    return f"CREATE TABLE opening (text text); INSERT INTO opening VALUES ('{opening_entry}')"
