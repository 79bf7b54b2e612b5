"""The Novu client for blocking code: the names of `novu_async`, without `await`."""
