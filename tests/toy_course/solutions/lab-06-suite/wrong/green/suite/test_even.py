"""Wrong: always green."""


def test_nothing():
    pass
