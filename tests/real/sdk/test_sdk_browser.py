"""The SDK in a page of another origin: preflights, keys, reloads, a server that goes and comes again."""

from __future__ import annotations

import json
from collections import Counter
from urllib.parse import urlencode

import pytest

pytestmark = pytest.mark.real

LINES = [("2", "/v1/telemetry"), ("1", "/data/v3/telemetry")]
STAMPS = {"syncts", "@timestamp"}
EIDS = 12


def bare(event):
    return json.dumps({name: value for name, value in event.items() if name not in STAMPS}, sort_keys=True)


class Page:
    """The page of `clients/page.html` in a browser."""

    def __init__(self, browser, site, bridge, line, path, key):
        self.browser = browser
        asked = urlencode({"line": line, "host": bridge.url, "path": path, "key": key})
        browser.open(f"{site}/?{asked}")

    def play(self, rounds=1):
        self.browser.run(f"playOn({rounds})")

    def acknowledged(self):
        return self.browser.run("return acknowledged()")

    def answers(self):
        return self.browser.run("return answers")


def settled(bridge, page):
    """Archive and page agree: every acknowledged event once, and nothing twice."""
    acknowledged = Counter(map(bare, page.acknowledged()))
    bridge.stop()
    archived = Counter(map(bare, bridge.archived()))
    assert set(archived.values()) == {1}
    assert set(acknowledged) <= set(archived)
    return archived


@pytest.mark.parametrize(("line", "path"), LINES)
def test_a_page_sends_every_kind_of_event(bridge, browser, site, key, until, artefacts, line, path):
    page = Page(browser, site, bridge, line, path, key)
    page.play(3)
    until(lambda: len(page.acknowledged()) == 3 * EIDS)
    browser.screenshot(artefacts / f"sdk-{line}.png")
    assert page.answers() == {"200": 9}
    archived = settled(bridge, page)
    assert len(archived) == 3 * EIDS
    assert len({json.loads(text)["eid"] for text in archived}) == EIDS


@pytest.mark.parametrize(("line", "path"), LINES)
def test_a_reload_in_the_middle_loses_nothing_that_was_acknowledged(
    bridge, browser, site, key, until, line, path
):
    page = Page(browser, site, bridge, line, path, key)
    page.play(40)
    until(lambda: len(page.acknowledged()) > EIDS)
    browser.reload()
    before = len(page.acknowledged())
    page.play(2)
    until(lambda: len(page.acknowledged()) >= before + 2 * EIDS)
    settled(bridge, page)


@pytest.mark.parametrize(("line", "path"), LINES)
def test_a_page_goes_on_when_the_bridge_was_down(bridge, browser, site, key, until, line, path):
    page = Page(browser, site, bridge, line, path, key)
    page.play(1)
    until(lambda: len(page.acknowledged()) == EIDS)
    bridge.stop()
    page.play(1)  # the newer line waits twice as long for every batch that failed
    until(lambda: browser.run("return round") == 2)
    bridge.start()
    until(lambda: len({bare(event) for event in page.acknowledged()}) == 2 * EIDS)
    archived = settled(bridge, page)
    assert len(archived) == 2 * EIDS


def test_a_bridge_that_is_killed_has_kept_what_it_acknowledged(bridge, browser, site, key, until):
    page = Page(browser, site, bridge, "2", "/v1/telemetry", key)
    page.play(200)
    until(lambda: len(page.acknowledged()) > 5 * EIDS)
    browser.run("halted = true")
    bridge.kill()
    acknowledged = len(page.acknowledged())
    bridge.start()
    browser.run("halted = false")
    page.play(1)
    until(lambda: len(page.acknowledged()) >= acknowledged + EIDS)
    settled(bridge, page)


def test_a_page_without_a_good_key_is_told_so(bridge, browser, site, until):
    page = Page(browser, site, bridge, "2", "/v1/telemetry", "wrong")
    page.play(1)
    until(lambda: page.answers().get("401", 0) >= 2)
    assert page.acknowledged() == []
    bridge.stop()
    assert bridge.archived() == []
