"""The page of an audit: one file that needs nothing from outside and runs no script but its own."""

from __future__ import annotations

import re
from html import escape
from importlib import resources

import numpy as np

from unpoison.auditing.audit import Audit
from unpoison.auditing.evidence.words import WORDS, missed
from unpoison.auditing.telling import as_surprising
from unpoison.auditing.theory import Diagnostics
from unpoison.auditing.verdict import THRESHOLD, Answer, Verdict
from unpoison.core.images import ImageSet
from unpoison.core.showing import describe
from unpoison.reporting.audit.cards import cards, scale_legend, show_card, show_number
from unpoison.reporting.audit.clean import ABOUT
from unpoison.reporting.audit.gallery import as_script, gallery_data
from unpoison.reporting.audit.theory import theory_section
from unpoison.reporting.pages import page

_ANSWERS: dict[Answer, tuple[str, str]] = {
    "poisoned": ("bad", "This set looks poisoned"),
    "nothing found": ("good", "Nothing was found in this set"),
    "cannot tell": ("unsure", "No answer: this set cannot be judged"),
}
_CLASSES = 20  # that are shown at first
_TICKS = 25  # most suspicious pictures of a class that are marked one by one


def audit_page(audit: Audit, image_set: ImageSet, *, advice: str = "", theory: Diagnostics | None = None) -> str:
    """The page of an audit.

    Args:
        audit: what was found.
        image_set: the set that was audited, for its pictures.
        advice: what to do about it, as plain text with commands in backticks; nothing is said if it is empty.
        theory: what is left of a perturbation whose originals are known, if they are.

    Returns:
        HTML, under 8 MB.
    """
    body = [_verdict(audit, image_set, advice)]
    explained = [] if theory is None else [theory_section(theory)]
    if audit.views:
        body += [_evidence(audit), *explained, _classes(audit), _gallery(audit), _lists(audit)]
        body.append(f'<script type="application/json" id="data">{as_script(gallery_data(audit, image_set))}</script>')
    else:
        body += explained
    return page(
        f"Audit of {audit.name}",
        f"<main>{''.join(body)}</main>",
        style=_file("audit.css"),
        script=_file("audit.js"),
    )


def _file(name: str) -> str:
    return resources.files("unpoison.reporting.audit").joinpath(name).read_text(encoding="utf-8")


def _verdict(audit: Audit, image_set: ImageSet, advice: str) -> str:
    verdict, left_out = audit.verdict, len(image_set) - len(audit.ids)
    tone, answer = _ANSWERS[verdict.answer]
    without = f", of which {left_out:,} without a class were left out" if left_out else ""
    shown = [f'<p class="soft">{escape(describe(image_set))}{without}</p><h1>{answer}</h1>']
    if audit.views:
        shown.append(f"<p>{_sure(verdict)}</p>")
    if verdict.answer == "cannot tell":
        shown.append(f"<p><b>Why:</b> {escape(verdict.reason)}.</p>")
    if verdict.answer == "poisoned":
        kinds = dict.fromkeys(one.kind for one in verdict.speaking)
        items = "".join(
            f"<li><b>{escape(WORDS[kind].title)}.</b> {escape(WORDS[kind].points_to)}</li>" for kind in kinds
        )
        shown.append(f"<p>What speaks for it, the strongest first:</p><ol>{items}</ol>")
    else:
        items = "".join(f"<li>{escape(one)}</li>" for one in missed(len(audit.ids), len(audit.class_names)))
        shown.append(f"<p>What may be there all the same:</p><ul>{items}</ul>")
    if advice:
        coded = re.sub("`([^`]+)`", r"<code>\1</code>", escape(advice))
        shown.append(f'<p class="advice"><b>What to do:</b> {coded}</p>')
    return f'<header class="{tone}"><div>{"".join(shown)}</div>{_facts(audit)}</header>'


def _facts(audit: Audit) -> str:
    measured = cards(audit)
    facts = [(f"{len(audit.ids):,}", "pictures"), (f"{len(audit.class_names):,}", "classes")]
    if measured:
        facts.append((f"{sum(card.speaks for card in measured)} of {len(measured)}", "measurements stand out"))
    return f'<ul class="facts">{"".join(f"<li><b>{number}</b> {what}</li>" for number, what in facts)}</ul>'


def _sure(verdict: Verdict) -> str:
    said = as_surprising(verdict)
    return f"{said[0].upper()}{said[1:]}; in truth it may be up to {100 * verdict.as_surprising.high:.0f} % of them."


def _evidence(audit: Audit) -> str:
    return (
        "<section><h2>What was measured</h2><p>Each dot says how far this set lies from what is expected of a clean "
        "set that is as hard by nature, in standard deviations of clean sets. <b class='key usual'></b> holds 19 of 20 "
        f"clean sets; beyond <b class='key alarm'></b>, at {THRESHOLD:g}, hardly any lies. Open a line to see what was "
        "measured.</p>"
        f'<div class="axis"><span></span>{scale_legend()}<span></span></div>'
        f"{''.join(show_card(card, audit) for card in cards(audit))}"
        f'<p class="soft">The clean set beside this one is always the same: {escape(ABOUT)}. Its numbers are not those '
        "under <i>clean sets alike</i>, which take into account how hard this set is.</p></section>"
    )


def _classes(audit: Audit) -> str:
    """A line for each class: where its pictures lie, and the most suspicious of them one by one."""
    by_class = audit.by_class
    order = np.argsort(-by_class, kind="stable").tolist()
    high = max(float(audit.suspicion.max()), 4.0)
    low = min(float(np.quantile(audit.suspicion, 0.05)), -2.0)
    rows = []
    for label in order[:_CLASSES]:
        scores = np.sort(audit.suspicion[audit.labels == label])
        start, end = (_percent(value, low, high) for value in np.quantile(scores, (0.05, 0.95)))
        ticks = "".join(f'<s style="left:{_percent(value, low, high):.1f}%"></s>' for value in scores[-_TICKS:])
        name = escape(audit.class_names[label])
        rows.append(
            f'<button type="button" class="class" data-class="{label}"><span class="name" title="{name}">{name}</span>'
            f'<span class="spread"><i style="left:{start:.1f}%;width:{end - start:.1f}%"></i>{ticks}'
            f'<b style="left:{_percent(float(by_class[label]), low, high):.1f}%"></b></span>'
            f'<span class="number">{show_number(by_class[label])}</span></button>'
        )
    ends = "".join(f'<u style="left:{_percent(end, low, high):.1f}%">{end:.0f}</u>' for end in (0.0, high))
    rows.append(f'<p class="ends"><span></span><span class="spread">{ends}</span><span></span></p>')
    cut = f" The {_CLASSES} most suspicious of {len(order):,} classes." if len(order) > _CLASSES else ""
    return (
        "<section><h2>Suspicion by class</h2><p>How far pictures stand out from the rest of this set, in standard "
        "deviations. Dot: mean of the class. Bar: nine of ten of its pictures. Strokes: its most suspicious pictures, "
        f"one by one. Press a line to see the class below.{cut}</p>"
        f'<div class="classes">{"".join(rows)}</div></section>'
    )


def _percent(value: float, low: float, high: float) -> float:
    return 100 * (float(np.clip(value, low, high)) - low) / (high - low)


def _gallery(audit: Audit) -> str:
    whole = audit.verdict.answer == "poisoned"
    warning = (
        "Where most pictures of a set were changed alike, none of them stands out from the others, and the order says "
        "little: then purify the set, or do not use it."
        if whole
        else "Some pictures stand out in every set: here they are oddities more likely than poison."
    )
    return (
        '<section id="gallery"><h2>The most suspicious pictures</h2>'
        "<p>Left: the picture. Right: what the denoiser removes from it, amplified so that it can be seen. Below: the "
        "two pictures of the class whose noise is most like it; a pattern that returns there was hardly put there by "
        f"nature. {warning}</p>"
        '<form class="filters"><label>Class <select id="class"></select></label>'
        '<label>At least <output id="least"></output><input type="range" id="score" step="any"></label>'
        '<label>Show <select id="state"><option value="">all</option><option value="none">not decided</option>'
        '<option value="keep">to keep</option><option value="drop">to drop</option></select></label>'
        '<span id="count" role="status"></span>'
        '<span class="buttons"><button type="button" id="drop-all">Drop all shown</button>'
        '<button type="button" id="clear-all">Undo all shown</button></span></form>'
        '<p class="soft keys">Keys: arrows move, <kbd>k</kbd> keep, <kbd>d</kbd> drop, <kbd>Enter</kbd> zoom, '
        "<kbd>Esc</kbd> back. The same key again undoes.</p>"
        '<div id="pictures"><noscript>The pictures need the script of this page.</noscript></div>'
        '<dialog id="zoom" tabindex="-1"></dialog></section>'
    )


def _lists(audit: Audit) -> str:
    return (
        '<section id="lists"><h2>Take your decision along</h2>'
        "<p>What you tick lies in this page only until it is closed. Save it as a list, an id a line, and hand it to "
        "<code>convert</code>, which writes a new set and leaves the old one as it is:</p>"
        '<div class="beside"><div><h3>To drop: <span class="drops">0</span></h3>'
        "<pre>unpoison convert SRC DST --without drop.txt</pre><p>Everything but these pictures.</p>"
        '<textarea id="drop-list" readonly rows="6" aria-label="ids to drop"></textarea>'
        '<button type="button" data-save="drop">Save drop.txt</button></div>'
        '<div><h3>To keep: <span class="keeps">0</span></h3>'
        "<pre>unpoison convert SRC DST --only keep.txt</pre><p>These pictures and no others, not even those that you "
        'have not looked at.</p><textarea id="keep-list" readonly rows="6" aria-label="ids to keep"></textarea>'
        '<button type="button" data-save="keep">Save keep.txt</button></div></div></section>'
        '<p id="tray" hidden><span><b class="drops">0</b> to drop, <b class="keeps">0</b> to keep</span> '
        '<a href="#lists">Save the lists</a></p>'
    )
