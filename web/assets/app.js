// Small comforts on pages that work without: theme, time zone, live regions, live logs, filtering as you type.
(() => {
  "use strict";
  const root = document.documentElement;
  const keep = (key, value) => { try { localStorage.setItem(key, value); } catch { /* private mode */ } };
  const kept = (key) => { try { return localStorage.getItem(key); } catch { return null; } };
  root.classList.add("js");
  if (kept("theme")) root.dataset.theme = kept("theme");

  const pad = (n) => String(n).padStart(2, "0");
  function stamp(date, local) {
    const g = (name) => date[(local ? "get" : "getUTC") + name]();
    return `${g("FullYear")}-${pad(g("Month") + 1)}-${pad(g("Date"))} ${pad(g("Hours"))}:${pad(g("Minutes"))}:${pad(g("Seconds"))}`;
  }
  function ago(seconds) {
    const s = Math.abs(seconds);
    const [n, unit] = s < 60 ? [s, "s"] : s < 3600 ? [s / 60, "min"] : s < 172800 ? [s / 3600, "h"] : [s / 86400, "days"];
    if (s < 1) return "now";
    return seconds < 0 ? `in ${Math.floor(n)} ${unit}` : `${Math.floor(n)} ${unit} ago`;
  }
  const skew = () => { const meta = document.querySelector('meta[name="server-now"]'); return meta ? Date.parse(meta.content) - loadedAt : 0; };
  const loadedAt = Date.now();
  const offset = skew();
  function times(scope) {
    const local = kept("zone") === "local";
    const zone = local ? Intl.DateTimeFormat().resolvedOptions().timeZone : "UTC";
    for (const el of scope.querySelectorAll("time[datetime]")) {
      const date = new Date(el.dateTime);
      if (Number.isNaN(+date)) continue;
      if (el.dataset.as === "ago") el.textContent = ago((Date.now() + offset - date) / 1000);
      else if (el.dataset.as === "clock") el.textContent = stamp(date, local).slice(11);
      else if (el.dataset.as === "minute") el.textContent = stamp(date, local).slice(0, 16);
      else if (el.dataset.as === "full") el.textContent = stamp(date, local);
    }
    const button = document.getElementById("zone");
    if (button) { button.textContent = zone; button.setAttribute("aria-label", `Times are shown in ${zone}. Switch.`); }
  }

  async function refresh() {
    const regions = [...document.querySelectorAll("[data-live]")];
    if (!regions.length || document.hidden) return;
    const answer = await fetch(location.href, { headers: { "x-live": "1" }, credentials: "same-origin" });
    if (!answer.ok || answer.redirected) return;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const region of regions) {
      const fresh = region.id && page.getElementById(region.id);
      if (!fresh || region.contains(document.activeElement) && document.activeElement.matches("input, select, textarea")) continue;
      if (fresh.innerHTML === region.dataset.seen) continue;
      region.dataset.seen = fresh.innerHTML;
      const focused = region.contains(document.activeElement) ? document.activeElement : null;
      const again = focused?.getAttribute("href") ? `[href="${CSS.escape(focused.getAttribute("href"))}"]`
        : focused?.matches("details[id] > summary") ? `#${CSS.escape(focused.parentElement.id)} > summary` : null;
      const scroll = [...region.querySelectorAll("[data-scroll]")].map((el) => el.scrollLeft);
      const open = new Set([...region.querySelectorAll("details[open][id]")].map((el) => el.id));
      region.innerHTML = fresh.innerHTML;
      region.querySelectorAll("[data-scroll]").forEach((el, i) => { el.scrollLeft = scroll[i] || 0; });
      open.forEach((id) => { const el = document.getElementById(id); if (el) el.open = true; });
      if (again) region.querySelector(again)?.focus();
      times(region);
    }
    filterRows();
  }
  function keepFresh() {
    const usual = (Number(document.querySelector("[data-live]")?.dataset.live) || 3) * 1000;
    let wait = usual;
    const tick = async () => {
      try { await refresh(); wait = usual; } catch { wait = Math.min(wait * 2, 30000); }
      setTimeout(tick, wait);
    };
    setTimeout(tick, wait);
    document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh().catch(() => {}); });
  }

  function filterRows() {
    const input = document.querySelector("input[data-filter]");
    if (!input) return;
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const row of document.querySelectorAll(input.dataset.filter)) {
      const text = row.dataset.text || row.textContent.toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
    }
  }

  function followLog() {
    const list = document.querySelector("[data-log]");
    if (!list || !window.EventSource) return;
    const note = document.getElementById("live-note");
    const say = (text, on) => { if (note) { note.textContent = text; note.classList.toggle("on", on); } };
    const atEnd = () => list.scrollHeight - list.scrollTop - list.clientHeight < 40;
    list.scrollTop = list.scrollHeight;
    const source = new EventSource(list.dataset.log);
    source.onopen = () => say("Live", true);
    source.onerror = () => say("Reconnecting", false);
    source.addEventListener("lines", (event) => {
      const stick = atEnd();
      list.insertAdjacentHTML("beforeend", JSON.parse(event.data));
      while (list.children.length > 20000) list.firstElementChild.remove();
      document.getElementById("no-lines")?.remove();
      times(list.lastElementChild ? list : document);
      if (stick) list.scrollTop = list.scrollHeight;
    });
    source.addEventListener("end", (event) => { source.close(); say(`Ended: ${event.data}`, false); refresh().catch(() => {}); });
  }

  document.addEventListener("click", (event) => {
    const at = event.target.closest("button");
    if (!at) return;
    if (at.id === "zone") { keep("zone", kept("zone") === "local" ? "utc" : "local"); times(document); }
    if (at.id === "theme") {
      const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
      root.dataset.theme = dark ? "light" : "dark";
      keep("theme", root.dataset.theme);
    }
  });
  document.addEventListener("submit", (event) => {
    const question = event.submitter?.dataset.confirm;
    if (question && !confirm(question)) event.preventDefault();
  });
  document.addEventListener("change", (event) => {
    if (event.target.matches("[data-submit]")) event.target.form.requestSubmit();
  });
  document.addEventListener("DOMContentLoaded", () => {
    times(document);
    setInterval(() => times(document), 15000);
    const input = document.querySelector("input[data-filter]");
    if (input) input.addEventListener("input", filterRows);
    document.addEventListener("keydown", (event) => {
      if (event.key === "/" && input && !event.target.matches("input, textarea, select")) { event.preventDefault(); input.focus(); }
    });
    keepFresh();
    followLog();
  });
})();
