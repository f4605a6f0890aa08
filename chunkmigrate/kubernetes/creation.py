"""Creation: why a Job has no pod. Its own status does not say; only the events of the Job do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from chunkmigrate.kubernetes.ending import Kind, Verdict
from chunkmigrate.kubernetes.fields import because, moment, text, whole

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

_QUOTA = (
    "Lower what the pod asks for, or have the quota raised; the Job tries again by itself, ever less often."
)
_FORBIDDEN = "Change what the message names; the Job tries again by itself, ever less often."


def refused(job: Mapping[str, Any], events: Sequence[Mapping[str, Any]]) -> Verdict | None:
    """Return why the cluster refuses the Job's pod; None where it is not certain that it does."""
    failures = [event for event in events if event.get("reason") == "FailedCreate"]
    if not failures or whole(job, "status", "active") or _created_since(failures[-1], events):
        return None
    details = text(failures[-1], "message").removeprefix("Error creating: ")
    told = because(details)
    if "exceeded quota" in details or "failed quota" in details:
        return Verdict(Kind.QUOTA, f"has no pod, for the namespace's quota does not allow it{told}", _QUOTA)
    if "forbidden" in details:
        return Verdict(Kind.FORBIDDEN, f"has no pod, for the cluster forbids it{told}", _FORBIDDEN)
    return Verdict(Kind.NOT_CREATED, f"has no pod, for it could not be created{told}", _FORBIDDEN)


def when(event: Mapping[str, Any]) -> datetime | None:
    """Return when an event happened last. The scheduler's have only an eventTime."""
    stamps = ("lastTimestamp", "eventTime", "firstTimestamp")
    return next((found for stamp in stamps if (found := moment(event, stamp))), None)


def _created_since(failure: Mapping[str, Any], events: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a pod was made after the failure, or may have been."""
    failed = when(failure)
    made = [when(event) for event in events if event.get("reason") == "SuccessfulCreate"]
    return any(failed is None or at is None or at >= failed for at in made)
