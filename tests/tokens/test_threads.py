"""Many threads on one blocking client: the same guarantees."""

from concurrent.futures import ThreadPoolExecutor

from novu_async.testing import LocalNovu
from novu_sync import Novu


def test_a_thousand_adds_from_eight_threads_are_all_stored() -> None:
    """Twenty subscribers with fifty tokens each, in one channel each, with few requests."""
    adds = [(f"user-{i % 20}", f"token-{i:04}") for i in range(1000)]
    with LocalNovu.in_thread() as local, Novu(local.api_key, server_url=local.url) as novu:

        def add(work: tuple[str, str]) -> bool:
            subscriber_id, token = work
            result = novu.subscribers.device_tokens.add(subscriber_id, "fcm", token)
            return token in result.device_tokens

        with ThreadPoolExecutor(8) as pool:
            assert all(pool.map(add, adds))
        for subscriber_id in {subscriber_id for subscriber_id, _ in adds}:
            mine = [token for owner, token in adds if owner == subscriber_id]
            assert sorted(local.device_tokens(subscriber_id, "fcm")) == mine
            assert len(local.subscribers[subscriber_id]["channels"]) == 1
        assert len(local.requests) <= 1000
        assert len(novu._bridge.core._pipeline.ordering) == 0
