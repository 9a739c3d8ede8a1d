"use strict";
// Filters the access map. Without this script every line is shown.
(() => {
  const form = document.getElementById("filter");
  addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((each) => { each.open = true; }));
  if (!form) return;
  const [words, level, privilege] = ["words", "level", "privilege"].map((id) => document.getElementById(id));
  const shown = document.getElementById("shown");
  const rows = [...document.querySelectorAll("#map > tbody > tr[data-level]")];
  const has = (row, name) => (row.dataset.privileges ?? "").split(" ").some((each) => each && (name === "*" || each === name));
  let texts = null;
  let asked = 0;
  const filter = () => {
    asked = 0;
    texts ??= rows.map((row) => [...row.cells].map((cell) => cell.textContent).join(" ").toLowerCase());
    const wanted = words.value.toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    rows.forEach((row, at) => {
      const fits = (!level.value || row.dataset.level === level.value)
        && (!privilege.value || has(row, privilege.value))
        && wanted.every((word) => texts[at].includes(word));
      if (row.hidden === fits) row.hidden = !fits;
      count += fits;
    });
    shown.textContent = count === rows.length ? `${count} lines` : `${count} of ${rows.length} lines`;
  };
  const later = () => { asked ||= requestAnimationFrame(filter); };
  form.addEventListener("input", later);
  form.addEventListener("reset", () => setTimeout(later));
  form.addEventListener("submit", (event) => event.preventDefault());
  form.hidden = false;
})();
