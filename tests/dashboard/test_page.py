"""The dashboard in a real browser: what it shows, how it is used, how it looks. Screenshots lie in the test's temporary folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from tests.provider import WAIT_S, Provider
from tests.proxy.faces import HTTP, anthropic_turns, asking, serving, settings_for

_MOST_BYTES = 300_000
_RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]
_WIDE, _PHONE = {"width": 1440, "height": 1000}, {"width": 390, "height": 844}
_NARROW = {"width": 320, "height": 640}  # a wide screen at 400 %, as WCAG 1.4.10 asks


class Visit:
    """A page, what it asked for, and what it complained about."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.urls: list[str] = []
        self.complaints: list[str] = []
        page.on("request", lambda asked: self.urls.append(asked.url))
        page.on("console", lambda said: self.complaints.append(said.text) if said.type in ("error", "warning") else None)
        page.on("pageerror", lambda failure: self.complaints.append(str(failure)))


@contextmanager
def visiting(browser: Browser, url: str, *, dark: bool = False, size: Any = None, still: bool = True) -> Iterator[Visit]:
    context = browser.new_context(
        viewport=size or _WIDE, color_scheme="dark" if dark else "light", reduced_motion="reduce" if still else "no-preference"
    )
    context.set_default_timeout(1000 * WAIT_S)
    visit = Visit(context.new_page())
    visit.page.goto(url)
    yield visit
    context.close()


def test_from_nothing_to_the_first_request_without_a_reload(browser: Browser, provider: Provider, tmp_path: Path) -> None:
    with serving(settings_for(provider, tmp_path)) as url, visiting(browser, f"{url}/dashboard") as visit:
        page = visit.page
        expect(page.get_by_role("heading", name="Nothing has come through yet")).to_be_visible()
        expect(page.get_by_text(f"ANTHROPIC_BASE_URL={url} claude")).to_be_visible()
        ask = asking(anthropic_turns(1)) | {"model": "claude-sonnet-4-5"}
        HTTP.post(f"{url}/v1/messages", json=ask).raise_for_status()
        expect(page.get_by_role("heading", name="Saved in the last 30 days")).to_be_visible()
        expect(page.locator(".recent tbody tr")).to_have_count(1)
        expect(page.locator(".recent")).to_contain_text("claude-sonnet-4-5")
    assert visit.complaints == []
    assert all(asked.startswith(url) for asked in visit.urls)


def test_a_year_is_shown_with_little(browser: Browser, year: str) -> None:
    """Bytes until everything is drawn, uncompressed; the figures on the page are those of the data."""
    with visiting(browser, f"{year}/dashboard?range=1y&by=daily") as visit:
        expect(visit.page.locator("canvas")).to_have_count(4)
        shown = visit.page.locator(".big").inner_text()
        data = HTTP.get(f"{year}/dashboard/data?by=weekly").json()
        assert shown == f"${data['total']['saved']:,.2f}"
        assert visit.page.locator(".sources tbody tr").count() == 5
        if found := data["measured"]:
            expect(visit.page.locator(".measured")).to_contain_text(f"{found['value']:.1f} %".replace("-", "\N{MINUS SIGN}"))
        files = sum(len(HTTP.get(asked).content) for asked in visit.urls if "/data" not in asked)
    assert files < _MOST_BYTES
    assert visit.complaints == []


def test_filters_splits_and_steps(browser: Browser, year: str) -> None:
    with visiting(browser, f"{year}/dashboard?range=1y") as visit:
        page = visit.page
        page.get_by_role("button", name="search", exact=True).click()
        expect(page.locator(".filters")).to_contain_text("search")
        expect(page.locator(".sources tbody tr")).to_have_count(1)
        page.get_by_role("radio", name="model").check()
        expect(page.locator(".sources tbody tr")).to_have_count(3)
        page.get_by_role("radio", name="month").check()
        page.locator(".plot").get_by_role("button", name="Table").click()
        months = page.locator(".plot tbody tr")  # a year touches thirteen, but on a month's last day nobody may have searched in the first
        expect(months.nth(11)).to_be_visible()
        expect(months.nth(13)).to_have_count(0)
        assert "team=search" in page.url
        assert "by=monthly" in page.url
        page.reload()
        expect(page.locator(".filters")).to_contain_text("search")
        page.keyboard.press("Escape")
        expect(page.locator(".filters")).to_have_count(0)
        expect(page.locator(".sources tbody tr")).to_have_count(6)
    assert visit.complaints == []


def test_everything_by_keyboard(browser: Browser, year: str) -> None:
    with visiting(browser, f"{year}/dashboard") as visit:
        page = visit.page
        expect(page.locator("canvas")).to_have_count(4)
        page.keyboard.press("Tab")
        expect(page.get_by_role("link", name="Skip to the figures")).to_be_focused()
        page.keyboard.press("Tab")
        expect(page.get_by_role("radio", name="30 d")).to_be_focused()
        page.keyboard.press("ArrowRight")
        expect(page.get_by_role("radio", name="90 d")).to_be_checked()
        page.keyboard.press("5")
        expect(page.get_by_role("heading", name="Saved in the last year")).to_be_visible()
        page.keyboard.press("m")
        expect(page.get_by_role("radio", name="month")).to_be_checked()
        for pressed in "1234561m5wd":  # what was asked before is given up, and never shown
            page.keyboard.press(pressed)
        expect(page.get_by_role("heading", name="Saved in the last year")).to_be_visible()
        expect(page.get_by_role("radio", name="day")).to_be_checked()
        page.keyboard.press("t")
        expect(page.locator("html")).to_have_attribute("data-theme", "dark")
        chart = page.get_by_role("img", name="Bill without and with Headroom over time")
        chart.focus()
        page.keyboard.press("End")
        expect(chart.locator(".tip")).to_contain_text("without Headroom")
        newest = chart.locator(".tip strong").inner_text()
        page.keyboard.press("ArrowLeft")
        expect(chart.locator(".tip strong")).not_to_have_text(newest)
        page.keyboard.press("?")
        expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
        page.keyboard.press("Escape")
        expect(page.get_by_role("dialog", name="Keys")).not_to_be_visible()
        page.reload()
        expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    assert visit.complaints == []


def test_asking_again_leaves_what_is_looked_at_in_place(browser: Browser, year: str) -> None:
    with visiting(browser, f"{year}/dashboard?range=1y") as visit:
        page = visit.page
        expect(page.locator("canvas")).to_have_count(4)
        page.evaluate("document.querySelectorAll('canvas, .recent, .big').forEach((one) => (one.marked = true))")
        page.evaluate("scrollTo(0, 600)")
        with page.expect_response("**/dashboard/data*"):
            page.keyboard.press("r")
        expect(page.locator("canvas")).to_have_count(4)
        assert page.evaluate("[...document.querySelectorAll('canvas, .recent, .big')].every((one) => one.marked)")
        assert page.evaluate("scrollY") == 600


def test_the_admin_key_is_asked_for_and_kept_in_the_tab(browser: Browser, provider: Provider, tmp_path: Path) -> None:
    settings = settings_for(provider, tmp_path, access={"callers": "credential", "admin_key": "admin-secret"})
    with serving(settings) as url, visiting(browser, f"{url}/dashboard") as visit:
        page = visit.page
        field = page.get_by_label("Admin key")
        field.fill("a guess")
        page.get_by_role("button", name="Show the figures").click()
        expect(page.get_by_text("Send the admin key")).to_be_visible()
        field.fill("admin-secret")
        page.get_by_role("button", name="Show the figures").click()
        expect(page.get_by_role("heading", name="Nothing has come through yet")).to_be_visible()
        page.reload()
        expect(page.get_by_role("heading", name="Nothing has come through yet")).to_be_visible()
        assert page.evaluate("Object.values({...localStorage})") == []
        other = page.context.new_page()
        other.goto(f"{url}/dashboard")
        expect(other.get_by_label("Admin key")).to_be_visible()
    assert not any("secret" in asked for asked in visit.urls)


def test_a_server_that_went_away_is_said_and_the_figures_stay(browser: Browser, provider: Provider, tmp_path: Path) -> None:
    with serving(settings_for(provider, tmp_path)) as url:
        HTTP.post(f"{url}/v1/messages", json=asking(anthropic_turns(1))).raise_for_status()
        with visiting(browser, f"{url}/dashboard") as visit:
            page = visit.page
            expect(page.locator(".recent tbody tr")).to_have_count(1)
            page.context.set_offline(True)
            page.keyboard.press("r")
            expect(page.get_by_role("status").first).to_contain_text("Not reached since")
            expect(page.locator(".recent tbody tr")).to_have_count(1)
            page.context.set_offline(False)
            page.keyboard.press("r")
            expect(page.get_by_role("status").first).to_contain_text("Compressing")


@pytest.mark.timeout(400)
@pytest.mark.parametrize("size", [_WIDE, _PHONE], ids=["wide", "phone"])
def test_how_it_looks(browser: Browser, year: str, hour: str, empty: str, tmp_path: Path, size: Any) -> None:
    """Nothing is cut off sideways, and axe finds no offence against WCAG 2.1 AA: names, roles, contrast, structure."""
    pages: dict[str, tuple[str, Callable[[Page], Any]]] = {
        "empty": (f"{empty}/dashboard", lambda page: page.get_by_role("heading", name="Nothing has come through yet")),
        "hour": (f"{hour}/dashboard?range=24h", lambda page: page.locator(".recent")),
        "year": (f"{year}/dashboard?range=1y", lambda page: page.locator(".recent")),
    }
    for name, (url, awaited) in pages.items():
        with visiting(browser, url, dark=name == "hour", size=size) as visit:
            page = visit.page
            expect(awaited(page)).to_be_visible()
            for scheme in ("dark", "light") if name == "hour" else ("light", "dark"):  # a page that is open follows the system
                page.emulate_media(color_scheme=scheme)
                file = tmp_path / f"{name}-{scheme}-{size['width']}.png"
                page.screenshot(path=file, full_page=True)
                assert file.stat().st_size > 10_000
                assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), name
                if name == "hour" or (name == "empty" and size == _PHONE):
                    continue  # the same parts as in a year, and as on a wide screen
                found = Axe().run(page, options={"runOnly": _RULES if scheme == "light" else ["cat.color"]})
                assert found.violations_count == 0, f"{name}: {found.generate_report()}"
            assert visit.complaints == [], name


def test_nothing_is_cut_off_on_the_narrowest_screen(browser: Browser, hour: str, empty: str) -> None:
    for url, awaited in ((f"{empty}/dashboard", "Nothing has come through yet"), (f"{hour}/dashboard?range=24h", "Last requests")):
        with visiting(browser, url, size=_NARROW) as visit:
            expect(visit.page.get_by_role("heading", name=awaited)).to_be_visible()
            assert visit.page.evaluate("document.documentElement.scrollWidth") == _NARROW["width"], awaited
