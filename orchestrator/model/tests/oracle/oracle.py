"""Ticks of cron expressions in time zones, found without the code under test.

Croniter matches the fields on naive local times, zoneinfo (with the pinned tzdata) maps those to instants, and the rule about clock
changes is written down here a second time:

* a local time that comes twice counts once, and each time if minute or hour have `*` or a step;
* one that does not exist counts at the first instant after the gap, but not for `*` and steps if the instant at which it would have
  been without the change is matched anyway.

Reads one question a line, {"cron", "zone", "after", "until"} with seconds since the epoch; answers each with a line: a list of
seconds, or a text that says what is wrong.
"""

import json
import sys
from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo

from croniter import croniter

UTC = timezone.utc
# Longer than any gap.
MARGIN = timedelta(hours=36)


def following(cron, naive):
    return croniter(cron, naive, implement_cron_bug=True).get_next(datetime)


def matches(cron, naive):
    return following(cron, naive - timedelta(seconds=1)) == naive


def end_of_gap(tz, low, high):
    """The first instant with the offset of `high`; `low` has the one before."""
    offset = high.astimezone(tz).utcoffset()
    while high - low > timedelta(seconds=1):
        middle = low + (high - low) // 2
        if middle.astimezone(tz).utcoffset() == offset:
            high = middle
        else:
            low = middle
    return high.replace(microsecond=0)


def instants(cron, tz, naive, repeats):
    first = naive.replace(tzinfo=tz, fold=0).astimezone(UTC)
    second = naive.replace(tzinfo=tz, fold=1).astimezone(UTC)
    if first == second:
        return [first]
    if first < second:
        return [first, second] if repeats else [first]
    as_before = first.astimezone(tz).replace(tzinfo=None, fold=0)
    if repeats and matches(cron, as_before):
        return []
    return [end_of_gap(tz, second, first)]


def ticks(cron, zone, after, until):
    tz = ZoneInfo(zone)
    after, until = (datetime.fromtimestamp(seconds, UTC) for seconds in (after, until))
    repeats = any(mark in field for field in cron.split()[:2] for mark in "*/")
    naive = after.astimezone(tz).replace(tzinfo=None) - MARGIN
    last = until.astimezone(tz).replace(tzinfo=None) + MARGIN
    found = set()
    times = croniter(cron, naive, implement_cron_bug=True)
    while (naive := times.get_next(datetime)) <= last:
        found.update(tick for tick in instants(cron, tz, naive, repeats) if after < tick <= until)
    return [int(tick.timestamp()) for tick in sorted(found)]


for line in sys.stdin:
    question = json.loads(line)
    try:
        answer = ticks(**question)
    except Exception as error:  # the test shows it
        answer = f"{type(error).__name__}: {error}"
    print(json.dumps(answer))
