"""`python -m novu_async.cli` is novu-credentials."""

from novu_async.cli import main

main()
