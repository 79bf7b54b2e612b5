"""The documentation of LocalNovu says what is true."""

import re

import novu_async.testing
from novu_async.testing import FAULT_KINDS, faults


def test_every_fault_is_documented_with_its_effect() -> None:
    """The table of faults lists each kind, and whether the write is applied."""
    assert faults.__doc__ is not None
    rows = re.findall(r"^\| (`.*`) \|.*\| (yes|no|the same) \|$", faults.__doc__, re.MULTILINE)
    documented = {kind: effect for names, effect in rows for kind in re.findall(r"`(\w+)`", names)}
    assert set(documented) == set(FAULT_KINDS)
    assert {kind for kind, effect in documented.items() if effect == "yes"} == faults.APPLIED_FAULTS


def test_every_public_name_can_be_imported() -> None:
    """The lazily imported names exist, and dir() shows no others as public."""
    for name in novu_async.testing.__all__:
        assert getattr(novu_async.testing, name) is not None


def test_an_unknown_name_is_an_attribute_error() -> None:
    """The package does not pretend to have what it has not."""
    assert not hasattr(novu_async.testing, "Nonsense")
