"""Sources that tests open; conftest.py closes them when a test ends."""

OPEN = []


def kept(source):
    """The source itself, to be closed later."""
    OPEN.append(source)
    return source
