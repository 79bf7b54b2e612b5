"""LocalNovu: the Novu API's real behaviour in one process, to test against and to develop with."""

from novu_async.testing._store import Document
from novu_async.testing.faults import FAULT_KINDS, Fault, FaultKind, Faults
from novu_async.testing.requests import RecordedRequest
from novu_async.testing.seed import Seed, SeedError, load_seed
from novu_async.testing.server import DEFAULT_API_KEY, LocalNovu

__all__ = [
    "DEFAULT_API_KEY",
    "FAULT_KINDS",
    "Document",
    "Fault",
    "FaultKind",
    "Faults",
    "LocalNovu",
    "RecordedRequest",
    "Seed",
    "SeedError",
    "load_seed",
]
