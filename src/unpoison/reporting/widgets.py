"""Widgets of pages with pictures: panes, a slider between two pictures, filter, order and zoom; one style, one script.

A gallery is `div.gallery` of `figure.item`, each with a `div.panes` of `pane`s. The script finds them by these names:
- `figure.item` carries `data-class`, or is there whatever class is chosen; and a number `data-NAME` for every order
  that is offered;
- a click on a picture, or Enter on it, shows the figure large; arrows go on, a second click shows one pane alone;
- without the script all pictures are still there, in the order of the page.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from html import escape

STYLE = """
.tools { display: flex; flex-wrap: wrap; gap: .4rem 1.2rem; align-items: center; margin: .8rem 0; }
.tools select, dialog.zoom button { font: inherit; color: inherit; background: var(--raised); padding: .2rem .5rem;
  border: 1px solid var(--line); border-radius: .3rem; max-width: 60vw; }
figure.item[hidden] { display: none; }
.panes { display: flex; gap: 8px; } .pane { flex: 0 1 auto; min-width: 0; }
.pane img { display: block; height: auto; image-rendering: pixelated; cursor: zoom-in; }
.pane small { display: block; color: var(--soft); font-size: .75rem; line-height: 1.3; }
.slide { display: grid; --cut: 50%; } .slide img { grid-area: 1 / 1; }
.slide img + img { clip-path: inset(0 0 0 var(--cut)); }
.slide input { grid-area: 2 / 1; width: 100%; min-width: 0; margin: 2px 0; accent-color: var(--fill); }
.panes:focus-visible { outline: 2px solid var(--fill); outline-offset: 3px; }
dialog.zoom { width: 96vw; height: 96vh; max-width: none; max-height: none; box-sizing: border-box; overflow: auto;
  background: var(--paper); color: var(--ink); border: 1px solid var(--line); padding: .8rem; }
dialog.zoom::backdrop { background: #000a; }
dialog.zoom nav { position: sticky; top: 0; z-index: 1; display: flex; gap: .5rem; justify-content: flex-end; }
html:has(dialog.zoom[open]) { overflow: hidden; } dialog.zoom .pane { width: auto !important; }
dialog.zoom figure { width: auto !important; margin: .5rem auto; max-width: none; }
dialog.zoom .panes { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fit, minmax(min(100%, 20rem), 1fr)); }
dialog.zoom .pane img { width: 100%; max-height: none; }
dialog.zoom .panes.solo { grid-template-columns: min(100%, 82vh); justify-content: center; }
dialog.zoom .solo .pane:not(.chosen) { display: none; } dialog.zoom .solo .pane img { cursor: zoom-out; }
"""

SCRIPT = """
'use strict';
const items = [...document.querySelectorAll('figure.item')];
const choice = name => document.querySelector(`.tools select[name=${name}]`)?.value ?? '';
function arrange() {
  const kind = choice('class'), order = choice('order');
  for (const item of items) item.hidden = kind !== '' && (item.dataset.class ?? kind) !== kind;
  const sorted = [...items];
  if (order) sorted.sort((a, b) => b.dataset[order] - a.dataset[order]);
  for (const item of sorted) item.parentNode.append(item);
}
const box = document.createElement('dialog');
box.className = 'zoom';
document.body.append(box);
let shown = null;
function show(item) {
  shown = item;
  const bar = document.createElement('nav');
  for (const [text, name, action] of [['\\u2190', 'previous', () => step(-1)], ['\\u2192', 'next', () => step(1)],
                                      ['\\u2715', 'close', () => box.close()]]) {
    const button = document.createElement('button');
    button.textContent = text; button.ariaLabel = name; button.onclick = action;
    bar.append(button);
  }
  box.replaceChildren(bar, item.cloneNode(true));
  box.scrollTop = 0;
  if (!box.open) box.showModal();
}
function step(by) {
  const visible = [...document.querySelectorAll('.gallery figure.item:not([hidden])')];
  show(visible[(visible.indexOf(shown) + by + visible.length) % visible.length]);
}
document.addEventListener('change', event => { if (event.target.matches('.tools select')) arrange(); });
document.addEventListener('input', event => {
  const slide = event.target.closest('.slide');
  if (slide) slide.style.setProperty('--cut', `${event.target.value}%`);
});
document.addEventListener('click', event => {
  if (event.target === box) return box.close();
  const pane = event.target.closest('figure.item .pane img')?.closest('.pane');
  if (!pane) return;
  if (!box.contains(pane)) return show(pane.closest('figure.item'));
  const solo = pane.parentNode.classList.toggle('solo');
  for (const other of pane.parentNode.children) other.classList.toggle('chosen', solo && other === pane);
});
document.addEventListener('keydown', event => {
  if (event.key === 'Enter' && !box.open && event.target.matches('.panes')) {
    event.preventDefault();  // else the button that the focus moves to is pressed as well
    show(event.target.closest('figure.item'));
  }
  if (!box.open || event.target.matches('input')) return;
  if (event.key === 'ArrowLeft') step(-1);
  if (event.key === 'ArrowRight') step(1);
});
arrange();
"""


def tools(classes: Sequence[str], orders: Mapping[str, str]) -> str:
    """Selects by which a gallery is filtered and ordered.

    Args:
        classes: the class of each picture, as `data-class` has it; empty where unknown.
        orders: `NAME` of a number `data-NAME` -> what it is called; the highest comes first, and the first is chosen.
    """
    counts = sorted(Counter(filter(None, classes)).items())
    named = "".join(f'<option value="{escape(name)}">{escape(name)} ({count})</option>' for name, count in counts)
    ordered = "".join(f'<option value="{name}">{escape(text)}</option>' for name, text in orders.items())
    by_class = (
        f'<label>class <select name="class"><option value="">all ({len(classes)})</option>{named}</select></label>'
    )
    by_order = f'<label>order <select name="order">{ordered}</select></label>'
    return f'<div class="tools">{by_class if len(counts) > 1 else ""}{by_order if len(orders) > 1 else ""}</div>'


def pane(address: str, caption: str, *, width: int) -> str:
    """One picture of a figure.

    Args:
        address: of the picture, as `data_uri` gives it.
        caption: what it shows, in a word or two.
        width: in screen pixels; less where there is no room.
    """
    return (
        f'<div class="pane" style="width:{width}px"><img src="{address}" width="{width}" alt="{escape(caption)}">'
        f"<small>{escape(caption)}</small></div>"
    )


def slider(before: str, after: str, caption: str, *, width: int) -> str:
    """Two pictures of one size over each other: left of a mark the first is seen, right of it the second.

    Args:
        before: address of the first, as `data_uri` gives it.
        after: of the second.
        caption: as for `pane`.
        width: as for `pane`.
    """
    return (
        f'<div class="pane" style="width:{width}px"><div class="slide">'
        f'<img src="{before}" width="{width}" alt="before"><img src="{after}" width="{width}" alt="after">'
        f'<input type="range" aria-label="before or after" value="50"></div><small>{escape(caption)}</small></div>'
    )
