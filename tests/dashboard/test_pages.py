"""Every page in a real browser, on a real network whose rounds are under way when the first test looks."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

from tests.dashboard.checks import AUDIT, FOCUS
from tests.dashboard.conftest import HOSTILE, NAMES, ROUNDS

pytestmark = pytest.mark.timeout(240)
expect.set_options(timeout=15_000)

REFUSED = r"Failed to load resource: the server responded with a status of 401"


def newest(network) -> str:
    return network.get("models?order=newest&limit=1")["models"][0]["model"]


# ---- while the rounds go on --------------------------------------------------------------------------------------------


def test_phases_arrive_without_being_asked_for(opened, network):
    page = opened()
    page.watch.allow("status of 503")  # a node without a key yet is not ready, and says so
    stepper = page.locator(".stepper .now, .stepper .over")
    page.locator("#link-state[data-state=live]").wait_for()
    stepper.first.wait_for(timeout=60_000)
    page.locator(".activity li").first.wait_for(timeout=60_000)
    told = page.locator("#announcer")
    expect(told).to_have_text(re.compile(r"^Round \d+: \w"), timeout=60_000)
    assert told.get_attribute("aria-live") == "polite"
    page.locator(".badge", has_text="Done").wait_for(timeout=120_000)
    assert page.locator(".stepper .over").count() == 10
    assert "no key" not in page.locator("main").inner_text(), "what has passed needs no attention"
    assert re.search(r"Round \d+: \w+", page.locator(".activity").inner_text())


def test_without_events_the_node_is_asked(opened, settled):
    page = opened(place=None)
    page.route("**/v1/events", lambda route: route.abort())
    page.watch.allow("ERR_FAILED")
    page.goto(settled.url)
    page.locator("#link-state[data-state=polling]").wait_for()
    assert "Live, by asking" in page.locator("#link-state").inner_text()
    with page.expect_response("**/v1/status"):
        pass


def test_a_node_that_does_not_answer_is_said_to_be_gone(opened, settled):
    page = opened()
    page.watch.allow("ERR_|Failed to load")
    page.route("**/v1/**", lambda route: route.abort())
    page.locator("nav a", has_text="Models").click()
    page.get_by_role("alert").wait_for()
    assert "does not answer" in page.get_by_role("alert").inner_text()
    page.unroute_all()
    page.get_by_role("button", name="Try again").click()
    page.get_by_role("heading", name="Models", exact=True).wait_for()


def test_a_node_with_too_much_to_do_is_asked_again(opened, settled):
    page = opened()
    page.watch.allow("status of 429")
    asked = []

    def busy(route):
        asked.append(route.request.url)
        if len(asked) == 1:
            route.fulfill(
                status=429, headers={"Retry-After": "1"}, json={"title": "Too Many Requests", "detail": "wait"}
            )
        else:
            route.continue_()

    page.route("**/v1/models?*", busy)
    page.locator("nav a", has_text="Models").click()
    page.locator(".lineage a.head").wait_for()
    assert len(asked) == 2


# ---- signing in --------------------------------------------------------------------------------------------------------


def test_signing_in_and_out(opened, network):
    page = opened(place=None, role=None)
    page.watch.allow(f"{REFUSED}|status of 503")  # this hospital may have no key yet
    page.goto(network.url)
    field = page.get_by_label("Token")
    assert field.get_attribute("type") == "password"
    assert page.evaluate(AUDIT) == []
    page.get_by_role("button", name="Sign in").click()
    assert "Paste a token" in page.get_by_role("alert").inner_text()
    field.fill("mw_" + "A" * 43)
    field.press("Enter")
    page.get_by_text("not valid here").wait_for()
    field.fill(network.tokens["operator"])
    field.press("Enter")
    page.get_by_role("heading", name="Overview").wait_for()
    (cookie,) = page.context.cookies()
    assert cookie["httpOnly"]
    assert cookie["sameSite"] == "Strict"
    assert page.evaluate("document.cookie + JSON.stringify({...localStorage, ...sessionStorage})") == "{}"
    page.get_by_role("button", name="Sign out").click()
    page.get_by_label("Token").wait_for()
    assert page.request.get(f"{network.url}/v1/status").status == 401
    assert page.locator("nav").is_hidden()
    assert NAMES[0] not in page.content(), "what was shown is gone"


def test_a_session_that_ended_leads_back_to_the_sign_in(opened, network):
    page = opened()
    page.watch.allow(REFUSED)
    page.context.clear_cookies()
    page.locator("nav a", has_text="Models").click()
    page.get_by_label("Token").wait_for()
    assert "session has ended" in page.get_by_role("alert").inner_text()


def test_a_clinician_sees_what_a_clinician_may(opened, settled):
    page = opened(role="clinician")
    assert page.locator("nav a").all_inner_texts() == ["Overview", "Models", "Health", "Inference"]
    for name in ("Models", "Health", "Inference"):
        page.locator("nav a", has_text=name).click()
        page.get_by_role("heading", name=name, exact=True).wait_for()
    page.goto(f"{settled.url}/#/models/{newest(settled)}")
    page.get_by_role("heading", name="Accuracy").wait_for()
    assert page.get_by_role("button", name="Run the audit").count() == 0
    assert page.get_by_role("button", name="Model file").count() == 0


# ---- what pages show ---------------------------------------------------------------------------------------------------

PLACES = ("", "rounds", "rounds/2", "ledger", "models", "models/{model}", "members", "health", "predict")


@pytest.fixture
def place(request, settled):
    return request.param.format(model=newest(settled))


@pytest.mark.parametrize("place", PLACES, indirect=True)
def test_every_page_is_fit_for_everybody(opened, place, settled):
    """Names, roles, headings, tables, contrast in both themes; no page is wider than a small telephone, none shows a secret."""
    page = opened(place)
    expect(page.locator(".waiting")).to_have_count(0)
    light = page.evaluate("getComputedStyle(document.body.parentElement).backgroundColor")
    assert page.evaluate(AUDIT) == []
    for details in page.locator("main details > summary").all():
        details.click()
    assert not [secret for secret in settled.secrets if secret in page.content()]
    page.emulate_media(color_scheme="dark")
    assert page.evaluate("getComputedStyle(document.body.parentElement).backgroundColor") != light
    assert page.evaluate(AUDIT) == []
    page.set_viewport_size({"width": 360, "height": 740})
    page.wait_for_timeout(150)
    assert page.evaluate(AUDIT) == []


def test_the_overview_says_what_the_node_says(opened, settled):
    status = settled.get("status")
    page = opened()
    figures = page.locator(".stats").inner_text()
    assert f"{ROUNDS} of {ROUNDS}" in figures
    assert f"{status['transactions']:,}" in figures
    assert status["model"][:8] in figures
    assert page.locator("#hospital").inner_text() == NAMES[0]
    page.locator(".chart .mark").first.wait_for()
    assert page.locator("table tbody tr").count() == ROUNDS + 1


def test_rounds_shows_accuracy_of_every_hospital(opened, settled):
    page = opened("rounds")
    page.get_by_text("The figures as a table").first.click()
    rows = page.get_by_role("table", name="Accuracy per hospital and round").locator("tbody tr")
    shown = {row.locator("th").inner_text(): row.locator("td").all_inner_texts() for row in rows.all()}
    verdicts = settled.get("verdicts?limit=500")["verdicts"]
    for verdict in verdicts:
        assert shown[verdict["hospital"]][verdict["round"] - 1] == f"{100 * verdict['base_accuracy']:.1f} %"
    assert set(shown) == {*(verdict["hospital"] for verdict in verdicts), "All held-out images"}
    table = page.get_by_role("table", name="Rounds, newest first")
    assert table.locator("tbody tr th").all_inner_texts() == [f"Round {k}" for k in range(ROUNDS, 0, -1)]
    assert table.get_by_text("finalised").count() == ROUNDS


def test_a_round_shows_updates_verdicts_and_phases(opened, settled):
    row = settled.get("rounds/2")
    page = opened("rounds/2")
    updates = page.get_by_role("table", name="Updates of this round")
    assert sorted(updates.locator("tbody th").all_inner_texts()) == sorted(one["hospital"] for one in row["updates"])
    assert page.get_by_role("table", name="How each member scored").locator("tbody tr").count() == len(row["verdicts"])
    assert page.locator(".bar-row").count() == 10
    assert row["plan_text"]["architecture"] in page.locator("main").inner_text()
    page.goto(f"{settled.url}/#/rounds/99")
    page.get_by_text("there is no round 99").wait_for()
    page.watch.allow("404")


def test_members_and_health(opened, settled):
    page = opened("members")
    table = page.get_by_role("table", name="Hospitals by seat")
    assert [text.replace(" this hospital", "") for text in table.locator("tbody th").all_inner_texts()] == list(NAMES)
    assert page.get_by_role("img", name="Reputation 100 of 100").count() == len(NAMES)
    page.goto(f"{settled.url}/#/health")
    checks = page.get_by_role("list", name="Checks of this node").locator("li")
    checks.first.wait_for()
    assert checks.count() == len(settled.get("ready")["checks"])
    assert page.locator(".sign.ok").count() == checks.count()


def test_a_hostile_name_is_only_shown(opened, settled):
    """Names come from members; one of these hospitals is called like an attack."""
    page = opened("members")
    for place in ("", "rounds", "rounds/2", "ledger", f"models/{newest(settled)}", "members", "health"):
        page.goto(f"{settled.url}/#/{place}")
        page.get_by_text(HOSTILE, exact=False).or_(page.get_by_text(HOSTILE[:24])).first.wait_for(state="attached")
        assert page.locator("img[onerror], img[src=x]").count() == 0
        assert page.title() != "owned"


# ---- the ledger --------------------------------------------------------------------------------------------------------


def test_the_ledger_is_drawn_and_opens_a_transaction(opened, settled):
    rows = settled.get("transactions?round=2&limit=500")["transactions"]
    page = opened("ledger?from=2&to=2")
    page.locator(".node").first.wait_for()
    page.get_by_role("button", name="Show all").click()
    shown = page.evaluate("[...document.querySelectorAll('.node')].map((node) => node.dataset.tx)")
    assert set(shown) <= {row["id"] for row in rows}
    assert len(shown) > len(rows) / 3
    proposal = next(row for row in rows if row["kind"] == "proposal")
    page.get_by_role("row", name=re.compile("Proposal")).get_by_role("link").click()
    box = page.get_by_role("complementary", name="Transaction")
    box.get_by_role("heading", name="Proposal").wait_for()
    assert proposal["hospital"] in box.inner_text()
    assert proposal["id"][:8] in box.inner_text()
    assert box.locator("h3", has_text="Approves").locator("+ .chips button").count() == len(set(proposal["parents"]))
    box.get_by_role("button", name="Verify").click()
    steps = box.get_by_role("list", name="Verification").locator("li")
    steps.nth(2).wait_for()
    assert box.locator(".sign.ok").count() == 3, box.inner_text()
    with page.expect_download() as saved:
        box.get_by_role("button", name="Download proof").click()
    assert Path(saved.value.path()).stat().st_size > 100
    box.locator(".chips button").first.click()
    assert proposal["parents"][0] in page.url
    box.get_by_role("button", name="Close").click()
    box.wait_for(state="hidden")


def test_bytes_that_are_not_what_the_id_names_are_found(opened, settled):
    row = settled.get("transactions?round=2&limit=1")["transactions"][0]
    page = opened(f"ledger?from=2&to=2&tx={row['id']}")
    page.route("**/raw", lambda route: route.fulfill(body=b"something else"))
    page.get_by_role("button", name="Verify").click()
    page.get_by_text("Do not trust this node's answer").wait_for()
    assert page.locator("aside .sign.bad").count() == 1


def test_the_ledger_with_the_keyboard_alone(opened, settled):
    page = opened("ledger?from=2&to=2")
    page.locator(".node[tabindex='0']").focus()
    before = page.evaluate("document.activeElement.dataset.tx")
    parents = {row["id"]: row["parents"] for row in settled.get("transactions?round=2&limit=500")["transactions"]}
    page.keyboard.press("ArrowLeft")
    after = page.evaluate("document.activeElement.dataset.tx")
    assert after in parents[before]
    assert page.evaluate(FOCUS)["visible"]
    page.keyboard.press("ArrowRight")
    assert after in parents[page.evaluate("document.activeElement.dataset.tx")]
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Enter")
    page.get_by_role("complementary", name="Transaction").get_by_role("heading").first.wait_for()
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == "Close"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.dataset.tx") in parents
    scale = "document.querySelector('.dag-view > g').getAttribute('transform')"
    small = page.evaluate(scale)
    page.keyboard.press("+")
    assert page.evaluate(scale) != small
    assert page.locator(".node[tabindex='0']").count() == 1, "one stop for the Tab key"


def test_thousands_of_transactions_can_be_moved_about_in(opened, settled):
    row = settled.get("transactions?round=2&limit=1")["transactions"][0]
    rows = [
        row
        | {
            "id": f"{row['id'][:-4]}{k:04d}",
            "parents": [f"{row['id'][:-4]}{max(0, k - 1 - k % 7):04d}"],
            "seat": k % 9,
            "hospital": f"Hospital {k % 9}",
        }
        for k in range(5000)
    ]
    page = opened()
    page.route(
        re.compile(r"/v1/transactions\?round=2"), lambda route: route.fulfill(json={"transactions": rows, "next": None})
    )
    page.goto(f"{settled.url}/#/ledger?from=2&to=2")
    page.get_by_text("5,000 transactions").wait_for()
    assert page.locator(".node").count() < 2000, "only what is in sight is in the document"
    world = page.locator(".dag-view > g").first
    before = world.get_attribute("transform")
    box = page.locator(".dag-view").bounding_box()
    page.mouse.move(box["x"] + 300, box["y"] + 8)
    page.mouse.down()
    page.mouse.move(box["x"] + 700, box["y"] + 8, steps=10)
    page.mouse.up()
    expect(world).not_to_have_attribute("transform", before)
    page.locator(".node").last.focus()
    page.keyboard.press("Home")
    assert page.evaluate("document.activeElement.dataset.tx").endswith("0000")
    page.keyboard.press("End")
    assert page.evaluate("document.activeElement.dataset.tx").endswith("4999")


# ---- models, audits, inference -----------------------------------------------------------------------------------------


def test_a_model_its_lineage_and_its_files(opened, settled):
    model = newest(settled)
    page = opened("models")
    page.locator(".lineage a.head").wait_for()
    assert page.locator(".lineage a").count() == ROUNDS + 1
    page.locator(".lineage a.head").click()
    page.get_by_role("heading", name=f"Model of round {ROUNDS}").wait_for()
    page.get_by_text("not a medical device").wait_for()
    card = settled.get(f"models/{model}/card?form=json")
    shown = page.get_by_role("table", name="Images each hospital declares").locator("tbody th").all_inner_texts()
    assert shown == [hospital["name"] for hospital in card["hospitals"]]
    with page.expect_download() as saved:
        page.get_by_role("button", name="Model file").click()
    assert hashlib.sha256(Path(saved.value.path()).read_bytes()).hexdigest() == model
    page.get_by_text("The whole statement").click()
    assert model in page.locator("pre").inner_text()


def test_an_audit_runs_on_the_node_and_shows_every_check(opened, settled):
    page = opened(f"models/{newest(settled)}")
    page.get_by_role("button", name="Run the audit").click()
    page.locator(".verdict .badge.good").wait_for(timeout=90_000)
    assert page.locator(".verdict").inner_text().startswith("Verified")
    links = page.get_by_role("list", name="Checks of the audit").locator("li[data-link]")
    named = {link.get_attribute("data-link") for link in links.all()}
    assert {"chain", "lineage", "statement", "envelope", "updates", "sums", "openings", "verdicts", "outcome"} <= named
    assert links.locator(".sign.ok").count() == links.count()


def test_an_audit_that_finds_damage_says_where(opened, settled):
    """A byte of the round's statement is changed on the hospital's disk."""
    digest = bytes.fromhex(settled.get("rounds/1")["statement"])
    from node.storage import raw_cid

    cid = raw_cid(digest)
    (path,) = [path for path in settled.hospital.home.joinpath("blobs").rglob(cid) if path.is_file()]
    whole = path.read_bytes()
    first = next(row["model"] for row in settled.get("models")["models"] if row["round"] == 1)
    path.chmod(0o600)
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    try:
        page = opened(f"models/{first}")
        page.watch.allow("status of 503")
        page.get_by_role("button", name="Run the audit").click()
        page.locator(".verdict .badge.bad").wait_for(timeout=90_000)
    finally:
        path.write_bytes(whole)
    assert page.locator("li[data-link=statement] .sign.bad").count() == 1
    assert cid[:8] in page.locator("li[data-link=statement]").inner_text()


def test_an_image_is_judged_and_shown_beside_what_the_answer_rests_on(opened, settled, tmp_path):
    with np.load(settled.hospital.home / "data" / "test.npz") as data:
        pixels, names = data["images"][0].squeeze().astype(float), [str(name) for name in data["class_names"]]
    path = tmp_path / "slice.png"
    Image.fromarray(np.uint8(255 * (pixels - pixels.min()) / np.ptp(pixels))).save(path)
    page = opened("predict", role="clinician")
    page.watch.allow("status of 503")  # while the process that answers starts
    assert "Not a medical device" in page.locator("main").inner_text()
    page.get_by_label("Choose an image").set_input_files(path)
    rows = page.get_by_role("list", name="Probabilities").locator("li")
    rows.first.wait_for(timeout=90_000)
    shown = {
        row.locator("span").first.inner_text().split("\n")[0]: row.locator(".number").inner_text() for row in rows.all()
    }
    assert {name.replace(" most likely", "") for name in shown} == set(names)
    assert sum(float(text.removesuffix(" %")) for text in shown.values()) == pytest.approx(100, abs=0.2)
    overlay = page.locator(".layers img").last
    assert page.locator(".layers").count() == 2
    assert page.evaluate(
        "[...document.querySelectorAll('.layers img')].every((i) => i.complete && i.naturalWidth > 100)"
    )
    page.get_by_label("Strength of the overlay").fill("25")
    assert overlay.evaluate("(image) => getComputedStyle(image).opacity") == "0.25"
    assert page.evaluate(AUDIT) == []
    other = tmp_path / "other.png"
    other.write_bytes(b"no image at all")
    page.watch.allow("status of 4")
    page.get_by_label("Choose an image").set_input_files(other)
    page.get_by_role("alert").wait_for()


# ---- how it is used ----------------------------------------------------------------------------------------------------


def test_the_keyboard_reaches_everything_and_shows_where_it_is(opened, settled):
    page = opened("members")
    page.keyboard.press("Tab")
    first = page.evaluate(FOCUS)
    assert first["name"] == "Skip to content"
    assert first["visible"]
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    page.locator(".skip").focus()
    reached = []
    for _ in range(40):
        page.keyboard.press("Tab")
        now = page.evaluate(FOCUS)
        if now["tag"] == "body":
            break
        assert now["visible"], now
        reached.append(now["name"])
    for name in ("Theme: automatic", "Sign out", "Overview", "Rounds", "Ledger", "Models", "Health", "Inference"):
        assert any(name in one for one in reached), (name, reached)
    page.locator("nav a", has_text="Health").focus()
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Health", exact=True).wait_for()
    assert page.locator("nav a[aria-current=page]").inner_text() == "Health"
    assert page.title() == "Health \u2013 Medweave"


def test_the_theme_can_be_chosen_and_is_remembered(opened, settled):
    page = opened(color_scheme="light")
    ground = "getComputedStyle(document.documentElement).backgroundColor"
    light = page.evaluate(ground)
    page.get_by_role("button", name="Theme: automatic").click()
    assert page.evaluate(ground) == light
    page.get_by_role("button", name="Theme: light").click()
    dark = page.evaluate(ground)
    assert dark != light
    page.reload()
    page.get_by_role("button", name="Theme: dark").wait_for()
    assert page.evaluate(ground) == dark


def test_nothing_moves_for_those_who_ask_for_rest(opened, settled):
    page = opened(reduced_motion="reduce")
    assert page.evaluate("getComputedStyle(document.querySelector('main')).transitionDuration") in {
        "0s",
        "1e-05s",
        "0.00001s",
    }
    longest = (
        "Math.max(...[...document.querySelectorAll('*')].map((e) => parseFloat(getComputedStyle(e).animationDuration)))"
    )
    assert page.evaluate(longest) < 0.001


def test_inline_code_is_refused_by_the_policy(opened, settled):
    """The policy is in force: what an injection would need is not possible."""
    page = opened()
    page.watch.allow("policy: |Content Security Policy|Trusted(HTML|Script)|violates")
    blocked = page.evaluate(
        """async () => {
        const said = [];
        addEventListener("securitypolicyviolation", (event) => said.push(event.effectiveDirective));
        const script = document.createElement("script");
        script.append("window.owned = true");
        document.body.append(script);
        try { document.body.innerHTML = "<b>x</b>"; } catch { said.push("markup"); }
        await fetch("https://example.org/").catch(() => null);
        await new Promise((resolve) => setTimeout(resolve, 50));
        return [said, window.owned ?? null];
    }"""
    )
    assert blocked[1] is None
    assert "markup" in blocked[0]
    assert any("connect" in one for one in blocked[0])
    page.watch.strangers.clear()
