"use strict";
// The gallery of an audit: filters, zoom, and a decision on each picture. Names come from strangers: they become text
// and never HTML.
(() => {
  const source = document.getElementById("data");
  if (!source) return;
  const { classes, cut, pictures, images } = JSON.parse(source.textContent);
  const find = (id) => document.getElementById(id);
  const decided = new Map(); // id -> "keep" or "drop"
  const VERBS = { keep: "Keep", drop: "Drop" };
  const CUTS = { detail: "middle 32x32 pixels", whole: "shrunk to 32x32" };
  const UNLISTABLE = /[\n\r\ufeff]/; // in an id: a line of a list would name other pictures
  let saved = true;
  let zoomed = null; // the card that the dialog shows

  function make(tag, attributes = {}, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.append(...children);
    return element;
  }

  const image = (place, alt, sharp = true) =>
    make("img", { src: images[place], alt, class: sharp ? "sharp" : "", decoding: "async" });

  const original = (picture) =>
    "original" in picture ? image(picture.original, "the picture", false) : image(picture.view, "the picture");

  function buttons(card) {
    return Object.entries(VERBS).map(([choice, verb]) => {
      const button = make("button", { type: "button", class: choice, tabindex: "-1", "data-choice": choice }, verb);
      if (UNLISTABLE.test(card.picture.id)) {
        button.disabled = true;
        button.title = "its id has a line break, so that no list can name it";
      }
      button.addEventListener("click", (event) => {
        event.stopPropagation();
        decide([card], choice);
      });
      return button;
    });
  }

  // Cards

  const cards = pictures.map((picture) => {
    const near = picture.near.map((other) =>
      make("span", { title: other.id }, image(other.view, "one of the nearest"), image(other.view + 1, "what is removed from it")));
    const card = make("article", { tabindex: "-1" },
      make("div", { class: "pair" }, original(picture), image(picture.view + 1, "what is removed from it")),
      make("div", { class: "near" }, ...near),
      make("p", {}, make("b", {}, picture.score.toFixed(1)), ` ${classes[picture.class]}`),
      make("p", { class: "id", title: picture.id }, picture.id));
    card.picture = picture;
    card.append(make("div", { class: "choice" }, ...buttons(card)));
    card.addEventListener("click", () => { focus(card); zoom(card); });
    card.addEventListener("focus", () => rove(card));
    return card;
  });
  find("pictures").replaceChildren(...cards);

  const shown = () => cards.filter((card) => !card.hidden);

  function rove(card) { // one card at a time is reached by the tabulator
    for (const other of cards) other.tabIndex = other === card ? 0 : -1;
  }

  function focus(card) {
    rove(card);
    card.focus();
  }

  // Decisions

  function decide(some, choice, undo = true) {
    for (const { picture } of some) {
      if (UNLISTABLE.test(picture.id)) continue;
      if (choice && !(undo && decided.get(picture.id) === choice)) decided.set(picture.id, choice);
      else decided.delete(picture.id);
    }
    saved = decided.size === 0;
    for (const card of some) paint(card, card.picture);
    if (zoomed) paint(find("zoom"), zoomed.picture);
    count();
  }

  function paint(element, picture) {
    element.dataset.choice = decided.get(picture.id) || "";
    for (const button of element.querySelectorAll("button[data-choice]"))
      button.setAttribute("aria-pressed", String(decided.get(picture.id) === button.dataset.choice));
  }

  function count() {
    for (const choice of Object.keys(VERBS)) {
      const ids = pictures.map((picture) => picture.id).filter((id) => decided.get(id) === choice);
      find(`${choice}-list`).value = ids.length ? `${ids.join("\n")}\n` : "";
      for (const place of document.querySelectorAll(`.${choice}s`)) place.textContent = ids.length;
    }
    find("tray").hidden = decided.size === 0;
  }

  // Filters

  const totals = classes.map((_, label) => pictures.filter((picture) => picture.class === label).length);
  find("class").append(make("option", { value: "" }, `all (${pictures.length})`));
  totals.forEach((total, label) => {
    if (total) find("class").append(make("option", { value: label }, `${classes[label]} (${total})`));
  });
  const scores = pictures.map((picture) => picture.score);
  find("score").min = Math.min(...scores);
  find("score").max = Math.max(...scores);
  find("score").value = Math.min(...scores);

  function filter() {
    const label = find("class").value;
    const state = find("state").value;
    const least = Number(find("score").value);
    for (const card of cards) {
      const { id, class: own, score } = card.picture;
      card.hidden = (label !== "" && own !== Number(label)) || score < least - 1e-6 ||
        (state !== "" && (decided.get(id) || "none") !== state);
    }
    find("least").textContent = least.toFixed(1);
    find("count").textContent = `${shown().length} of ${cards.length} shown`;
    if (!shown().some((card) => card.tabIndex === 0)) rove(shown()[0]);
  }

  for (const id of ["class", "score", "state"]) find(id).addEventListener("input", filter);
  find("drop-all").addEventListener("click", () => decide(shown(), "drop", false));
  find("clear-all").addEventListener("click", () => decide(shown(), ""));
  for (const row of document.querySelectorAll("button.class"))
    row.addEventListener("click", () => {
      if (!totals[Number(row.dataset.class)]) return;
      find("class").value = row.dataset.class;
      filter();
      find("gallery").scrollIntoView();
    });
  for (const row of document.querySelectorAll("button.class"))
    if (!totals[Number(row.dataset.class)]) row.disabled = true; // none of the pictures below is of this class

  // Zoom

  function zoom(card) {
    zoomed = card;
    const { picture } = card;
    const figure = (text, ...shownImages) => make("figure", {}, make("figcaption", {}, text), ...shownImages);
    const turn = (key) => () => { const next = step(card, key); if (next) zoom(next); };
    const bar = [["previous", "\u2190", turn("ArrowLeft")], ["next", "\u2192", turn("ArrowRight")],
      ["close", "\u2715", () => find("zoom").close()]].map(([name, sign, act]) => {
      const button = make("button", { type: "button", "aria-label": name }, sign);
      button.addEventListener("click", act);
      return button;
    });
    const small = "original" in picture ? [figure(CUTS[cut], image(picture.view, "what was measured"))] : [];
    find("zoom").replaceChildren(
      make("header", {}, make("div", {},
        make("p", {}, make("b", {}, classes[picture.class]), ` stands out by ${picture.score.toFixed(1)}`),
        make("p", { class: "id" }, picture.id)), make("nav", {}, ...bar)),
      make("div", { class: "large" }, figure("the picture", original(picture)), ...small,
        figure("what is removed, amplified", image(picture.view + 1, "what is removed"))),
      make("div", { class: "large near" }, ...picture.near.map((other) =>
        figure(`nearest: ${other.id}`, image(other.view, "picture"), image(other.view + 1, "what is removed")))),
      make("div", { class: "choice" }, ...buttons(card)));
    paint(find("zoom"), picture);
    if (!find("zoom").open) find("zoom").showModal();
    find("zoom").focus();
  }

  find("zoom").addEventListener("close", () => {
    const card = zoomed;
    zoomed = null;
    if (card) focus(card);
  });
  find("zoom").addEventListener("click", (event) => {
    if (event.target === find("zoom")) find("zoom").close(); // beside the dialog
  });

  // Keys

  function step(card, key) {
    const visible = shown();
    const place = visible.indexOf(card);
    if (key === "ArrowLeft") return visible[place - 1];
    if (key === "ArrowRight") return visible[place + 1];
    const columns = visible.filter((other) => other.offsetTop === visible[0].offsetTop).length;
    return visible[place + (key === "ArrowUp" ? -columns : columns)];
  }

  document.addEventListener("keydown", (event) => {
    const card = zoomed || document.activeElement.closest("#pictures article");
    if (event.ctrlKey || event.metaKey || event.altKey || !card) return;
    const choice = { k: "keep", d: "drop" }[event.key.toLowerCase()];
    if (choice) decide([card], choice);
    else if (event.key.startsWith("Arrow")) {
      const next = step(card, event.key);
      if (next && zoomed) zoom(next);
      else if (next) focus(next);
    } else if (event.key === "Enter" && event.target === card) zoom(card);
    else return;
    event.preventDefault();
  });

  // Lists

  for (const button of document.querySelectorAll("button[data-save]"))
    button.addEventListener("click", () => {
      const list = button.dataset.save;
      const address = URL.createObjectURL(new Blob([find(`${list}-list`).value], { type: "text/plain" }));
      make("a", { href: address, download: `${list}.txt` }).click();
      setTimeout(() => URL.revokeObjectURL(address), 1000);
      saved = true;
    });
  for (const area of document.querySelectorAll("#lists textarea"))
    area.addEventListener("focus", () => area.select());
  window.addEventListener("beforeunload", (event) => {
    if (!saved) event.preventDefault();
  });

  filter();
  count();
})();
