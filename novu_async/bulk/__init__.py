"""Bulk jobs: records in, outcomes out."""

from novu_async.bulk.bulk import Bulk, plan
from novu_async.bulk.jobs import read_job, read_outcomes
from novu_async.bulk.plan import DryRun, Reason
from novu_async.bulk.readers import read_csv, read_file, read_jsonl, read_rows, read_select
from novu_async.bulk.records import DeviceToken, WebhookUrl
from novu_async.bulk.report import Outcome, Progress, Report

__all__ = [
    "Bulk",
    "DeviceToken",
    "DryRun",
    "Outcome",
    "Progress",
    "Reason",
    "Report",
    "WebhookUrl",
    "plan",
    "read_csv",
    "read_file",
    "read_job",
    "read_jsonl",
    "read_outcomes",
    "read_rows",
    "read_select",
]
