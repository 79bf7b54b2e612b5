"""Retry settings, under the path at which callers of the official SDK import them."""

from novu_async._retry import BackoffStrategy, RetryConfig

__all__ = ["BackoffStrategy", "RetryConfig"]
