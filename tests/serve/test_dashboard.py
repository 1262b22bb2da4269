"""The dashboard of all replicas in a real browser: the figures of the one ledger, and how the tiers are."""

from __future__ import annotations

import re

import httpx
import pytest
from playwright.sync_api import Browser, expect

from tests.provider import WAIT_S, Provider
from tests.proxy.faces import anthropic_turns, asking, stats_of
from tests.serve.deployed import Deployed
from tests.serve.test_stats import ADMIN

pytestmark = pytest.mark.serve


def test_it_shows_the_ledger_of_all_replicas_and_every_tier(deployed: Deployed, provider: Provider, browser: Browser) -> None:
    for number in range(6):
        headers = {"x-api-key": "key-a", "x-headroom-team": "wall"}
        with httpx.Client(base_url=deployed.url, headers=headers, timeout=WAIT_S) as client:  # any replica
            ask = asking(anthropic_turns(3, 100 + number)) | {"model": "claude-sonnet-4-5"}
            client.post("/v1/messages", json=ask).raise_for_status()
    stats = stats_of(deployed.url, 6, ADMIN, team="wall")
    with httpx.Client(base_url=deployed.url, timeout=WAIT_S) as client:
        checks = client.get("/health").json()["checks"]
    cost = stats["summary"]["cost"]
    assert (stats["requests"]["total"], checks["compressor"]["ready"], checks["scorer"]["enabled"]) == (6, True, False)
    assert cost["total_saved_usd"] > 0.01

    context = browser.new_context(viewport={"width": 1440, "height": 1000})
    context.set_default_timeout(1000 * WAIT_S)
    page = context.new_page()
    page.goto(f"{deployed.url}/dashboard?team=wall")
    page.get_by_label("Admin key").fill("operators-only")
    page.get_by_role("button", name="Show the figures").click()
    for place, dollars in (
        (".big", "total_saved_usd"),
        (".bills dd >> nth=0", "without_headroom_usd"),
        (".bills dd >> nth=1", "with_headroom_usd"),
    ):
        shown = page.locator(place).inner_text()
        assert float(re.sub(r"[^0-9.]", "", shown)) == pytest.approx(cost[dollars], rel=0.05), shown
    expect(page.locator(".of").first).to_contain_text("6 requests")
    expect(page.locator(".sources tbody tr")).to_have_count(1)
    expect(page.locator(".sources tbody")).to_contain_text("wall")
    lights = dict(
        page.locator(".lights li").evaluate_all("found => found.map((one) => [one.querySelector('b').textContent, one.className])")
    )
    for name, check in checks.items():
        assert lights[name.replace("_", " ")] == ("good" if check["ready"] else "wait") if check["enabled"] else "off"
    assert (lights["store"], lights["ledger"]) == ("good", "good")
    context.close()
