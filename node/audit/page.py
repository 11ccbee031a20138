"""A report as one HTML page: nothing loaded from elsewhere, readable by screen readers, in light and dark.

Everything that stands in a report may come from a hostile hand (names, paths, reasons), so all of it is escaped, and the
page forbids scripts altogether.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Final

from node.audit.report import LINKS, MARKS, listed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from node.audit.report import Finding, Report, Verdict

_STYLE: Final = """
:root { color-scheme: light dark; --ink: #1b1f24; --paper: #ffffff; --line: #c9d1d9; --ok: #116329; --bad: #a40e26; --open: #7d4e00; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6edf3; --paper: #0d1117; --line: #3d444d; --ok: #56d364; --bad: #ff8182; --open: #e3b341; }
}
body { font: 1rem/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 72rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-top: 2rem; }
table { border-collapse: collapse; width: 100%; } caption { text-align: left; font-weight: 600; padding: .4rem 0; }
th, td { text-align: left; vertical-align: top; padding: .35rem .6rem; border-bottom: 1px solid var(--line); }
code, td:last-child { overflow-wrap: anywhere; }
td.number { text-align: right; font-variant-numeric: tabular-nums; }
code { font-family: ui-monospace, monospace; font-size: .9em; }
.ok { color: var(--ok); } .falsified { color: var(--bad); font-weight: 600; } .unchecked { color: var(--open); font-weight: 600; }
.verdict { border: 2px solid currentColor; border-radius: .4rem; padding: .6rem 1rem; font-size: 1.2rem; }
"""

_WORDS: Final[dict[Verdict, tuple[str, str]]] = {
    "verified": ("ok", "Verified: every link holds."),
    "falsified": ("falsified", "Falsified: something is not what it claims to be."),
    "could-not-check": ("unchecked", "Could not be checked: something that is needed is missing."),
}


def to_html(report: Report) -> str:
    """The page, as UTF-8 text."""
    return "\n".join(_lines(report)) + "\n"


def _lines(report: Report) -> Iterator[str]:
    kind, words = _WORDS[report.verdict]
    yield '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
    yield f"<title>Audit: {escape(report.verdict)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>"
    yield "<h1>Audit of a model</h1>"
    yield f'<p class="verdict {kind}" role="status">{words}</p>'
    model = report.model.hex() if report.model else "none"
    yield f"<p>Model <code>{model}</code>, rounds {escape(listed(report.rounds))}.</p>"
    broken = report.first_broken
    if broken is not None:
        yield f'<p>First broken link: <span class="{broken.status}">{escape(broken.line())}</span></p>'
    yield from _links(report)
    yield from _wrong([finding for finding in report.findings if finding.status != "ok"])
    yield from _list("Notes", report.notes)
    yield from _list("What nobody outside can verify", report.beyond)
    yield from _rounds(report)
    yield from _times(report)
    yield "</main>\n</body>\n</html>"


def _links(report: Report) -> Iterator[str]:
    yield "<h2>Links of the chain of evidence</h2>"
    yield '<table><caption>Each link, over all rounds</caption><thead><tr><th scope="col">Link</th>'
    yield '<th scope="col">State</th><th scope="col">What it proves</th></tr></thead><tbody>'
    for link, claim in LINKS.items():
        state = report.state(link)
        if state is not None:
            yield f'<tr><th scope="row">{link}</th><td class="{state}">{MARKS[state]}</td><td>{escape(claim)}</td></tr>'
    yield "</tbody></table>"


def _wrong(findings: list[Finding]) -> Iterator[str]:
    if not findings:
        return
    yield "<h2>What does not hold</h2>"
    yield from _table("Findings that are not ok", findings)


def _rounds(report: Report) -> Iterator[str]:
    yield "<h2>Everything that was checked</h2>"
    yield from _table("All findings, in the order of the checks", report.findings)


def _table(caption: str, findings: Iterable[Finding]) -> Iterator[str]:
    yield f'<table><caption>{caption}</caption><thead><tr><th scope="col">Round</th><th scope="col">Link</th>'
    yield '<th scope="col">State</th><th scope="col">Subject</th><th scope="col">Finding</th></tr></thead><tbody>'
    for finding in findings:
        number = "-" if finding.round is None else str(finding.round)
        yield (
            f'<tr><td>{number}</td><td>{escape(finding.link)}</td><td class="{finding.status}">{MARKS[finding.status]}</td>'
            f"<td><code>{escape(finding.subject)}</code></td><td>{escape(finding.detail)}</td></tr>"
        )
    yield "</tbody></table>"


def _list(title: str, texts: Iterable[str]) -> Iterator[str]:
    items = [f"<li>{escape(text)}</li>" for text in texts]
    if items:
        yield f"<h2>{title}</h2>\n<ul>"
        yield from items
        yield "</ul>"


def _times(report: Report) -> Iterator[str]:
    if not report.timings:
        return
    yield "<h2>Where the time went</h2>"
    yield '<table><caption>Seconds by link, over all rounds</caption><thead><tr><th scope="col">Link</th><th scope="col">Seconds</th></tr></thead><tbody>'
    for link, seconds in sorted(report.timings.items(), key=lambda item: -item[1]):
        yield f'<tr><th scope="row">{escape(link)}</th><td class="number">{seconds:.2f}</td></tr>'
    yield "</tbody></table>"
