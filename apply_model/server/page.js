// The page's whole behaviour. What comes from a file or a model is only ever set as text.
"use strict";

export const FEW = 10;

// A text with its {parts} filled in.
export function filled(text, parts = {}) {
  return text.replace(/\{(\w+)\}/g, (whole, name) => (name in parts ? String(parts[name]) : whole));
}

// Where bars of cosines begin and end, so that every score and threshold of a task fits.
export function rangeOf(rows) {
  const values = [0];
  for (const row of rows) {
    values.push(row.cosine);
    if (row.threshold !== null) values.push(row.threshold);
  }
  const low = Math.min(...values), high = Math.max(...values);
  return [low, high > low ? high : low + 1];
}

// A place within a range, in percent.
export function share(value, [low, high]) {
  return Math.min(100, Math.max(0, (100 * (value - low)) / (high - low)));
}

export function percent(value) {
  if (value > 0 && value < 0.01) return "<1 %";
  if (value < 1 && value > 0.99) return ">99 %";
  return `${Math.round(100 * value)} %`;
}

const number = (value, digits) => Number(value).toFixed(digits);

function start() {
  const $ = (id) => document.getElementById(id);
  const page = {
    about: null, language: "ja", ecgs: [], chosen: null, task: null, all: false, explained: null,
    answers: [], similars: null, picture: 0, pictured: null,
  };

  const word = (name, parts) => filled(page.about.words[name][page.language], parts);
  const both = (text) => text[page.language];

  // Requests. Only addresses below the page's own; answers are JSON or a picture.

  async function asked(path, options = {}) {
    let response;
    try {
      response = await fetch(path, { cache: "no-store", credentials: "omit", ...options });
    } catch {
      throw new Error(page.about ? word("no_answer") : "");
    }
    if (response.ok) return response;
    const text = await response.text();
    let said = text;
    try {
      said = JSON.parse(text).error;
    } catch {
      // A refusal before the page's own addresses is plain text in both languages.
    }
    throw said;
  }

  // The error of a request, kept in both languages where it has both.
  let wrong = null;

  function complain(error) {
    wrong = error instanceof Error ? error.message : error;
    const text = wrong && typeof wrong === "object" ? both(wrong) : wrong;
    $("error").textContent = text || "";
    $("error").hidden = !text;
  }

  let busy = [];

  async function during(name, work) {
    const mark = { name };
    complain(null);
    busy.push(mark);
    showState();
    try {
      await work();
    } catch (error) {
      complain(error);
    } finally {
      busy = busy.filter((other) => other !== mark);
      showState();
    }
  }

  function showState() {
    $("state").hidden = busy.length === 0;
    $("state").textContent = busy.length ? word(busy[busy.length - 1].name) : "";
  }

  // What a person does.

  function send(files) {
    if (!files.length) {
      complain(page.about.words.nothing_dropped);
      return;
    }
    const form = new FormData();
    for (const file of files) form.append("file", file, file.name);
    during("reading", async () => {
      const response = await asked("ecgs", { method: "POST", body: form });
      const { ecgs } = await response.json();
      page.ecgs = [...ecgs, ...page.ecgs];
      const first = ecgs.find((ecg) => ecg.id);
      if (first) choose(first);
      show();
    });
  }

  function choose(ecg) {
    Object.assign(page, { chosen: ecg, all: false, explained: null, answers: [], similars: null });
    show();
    draw();
  }

  // Show a picture of an ECG, perhaps with one finding explained; or none.
  function put(url, pictured) {
    const old = $("sheet").src;
    if (url) $("sheet").src = url;
    else $("sheet").removeAttribute("src");
    if (old) URL.revokeObjectURL(old);
    page.pictured = pictured;
  }

  function draw() {
    const ecg = page.chosen, explained = page.explained, number = ++page.picture, is = page.pictured;
    // Another ECG, or another finding's marks, must never be seen under this one's name.
    if (is && (is.ecg !== ecg || (is.explained && is.explained !== explained))) put(null, null);
    const query = new URLSearchParams({ language: page.language });
    let path = `ecgs/${ecg.id}/sheet.png`;
    if (explained) {
      path = `ecgs/${ecg.id}/explained.png`;
      query.set("task", page.task);
      query.set("class", explained.id);
    }
    during("computing", async () => {
      try {
        const response = await asked(`${path}?${query}`);
        const url = URL.createObjectURL(await response.blob());
        if (number !== page.picture) {
          URL.revokeObjectURL(url);
          return;
        }
        put(url, { ecg, explained });
      } catch (error) {
        if (number === page.picture && explained) {
          page.explained = null;
          show();
          if (!page.pictured) draw();
        }
        throw error;
      }
    });
  }

  function ask(text) {
    const ecg = page.chosen;
    during("computing", async () => {
      const response = await asked(`ecgs/${ecg.id}/question`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ text }),
      });
      const answer = await response.json();
      if (page.chosen === ecg) page.answers.unshift(answer);
      show();
    });
  }

  function findSimilar() {
    const ecg = page.chosen;
    during("computing", async () => {
      const { ecgs } = await (await asked(`ecgs/${ecg.id}/similar.json`)).json();
      if (page.chosen === ecg) page.similars = ecgs;
      show();
    });
  }

  function forget() {
    during("computing", async () => {
      await asked("ecgs", { method: "DELETE" });
      Object.assign(page, {
        ecgs: [], chosen: null, explained: null, answers: [], similars: null,
        picture: page.picture + 1,
      });
      put(null, null);
      for (const id of ["name", "facts", "remarks", "notes", "findings", "answers", "similars"]) {
        $(id).replaceChildren();
      }
      $("sheet").alt = $("question").value = "";
      show();
    });
  }

  function say(language) {
    page.language = language;
    show();
    if (page.chosen) draw();
  }

  // What is seen: always all of it, from `page`.

  function made(tag, text, className) {
    const element = document.createElement(tag);
    if (text !== undefined) element.textContent = text;
    if (className) element.className = className;
    return element;
  }

  function show() {
    document.documentElement.lang = page.language;
    for (const e of document.querySelectorAll("[data-word]")) e.textContent = word(e.dataset.word);
    for (const e of document.querySelectorAll("[data-label]")) {
      e.setAttribute("aria-label", word(e.dataset.label));
    }
    for (const e of document.querySelectorAll("[data-say]")) {
      e.setAttribute("aria-pressed", String(e.dataset.say === page.language));
    }
    $("model").textContent = `${word("model")} ${page.about.model}`;
    $("notice").textContent = page.about.notice;
    $("notice").hidden = !page.about.notice;
    showState();
    if (wrong) complain(wrong);
    showList();
    $("ecg").hidden = !page.chosen;
    if (page.chosen) showEcg(page.chosen);
  }

  function showList() {
    $("list").hidden = !page.ecgs.length;
    $("ecgs").replaceChildren(...page.ecgs.map((ecg) => {
      if (!ecg.id) {
        const name = ecg.name ? `${ecg.name} (${word("refused_short")}): ` : "";
        return made("li", name + both(ecg.refusal), "refused");
      }
      const item = made("li"), button = made("button", ecg.name);
      button.type = "button";
      button.setAttribute("aria-pressed", String(ecg === page.chosen));
      button.addEventListener("click", () => choose(ecg));
      item.append(button);
      return item;
    }));
  }

  function showEcg(ecg) {
    const rate = ecg.heart_rate_bpm;
    $("name").textContent = ecg.name;
    $("facts").textContent = word("facts", {
      rate: Number(ecg.rate_hz.toFixed(1)), seconds: number(ecg.duration_s, 1),
      bpm: rate === null ? word("unclear") : word("bpm", { bpm: number(rate, 0) }),
    });
    const remarks = ecg.remarks.length ? ecg.remarks.map(both) : [word("good")];
    $("remarks").replaceChildren(...remarks.map((text) => made("li", text)));
    $("notes").textContent = ecg.notes.length ? word("done_to_it") + ecg.notes.map(both).join("; ") : "";
    const name = page.explained ? both(page.explained.names) : "";
    $("sheet-title").textContent = name ? word("explained", { name }) : word("sheet");
    $("sheet").alt = name ? word("explained", { name }) : word("sheet_of", { name: ecg.name });
    $("sheet-about").textContent = word(name ? "explained_about" : "sheet_about");
    $("whole").hidden = !page.explained;
    showFindings(ecg);
    $("answers").replaceChildren(...page.answers.map(answerItem));
    $("similar-part").hidden = page.about.n_archive === null;
    $("similar-about").textContent = word("similar_about", { n: page.about.n_archive });
    $("similars").replaceChildren(...(page.similars || []).map((other) => {
      const item = made("li", `${word("record")} ${other.record}`);
      item.append(made("span", word("answer", { cosine: number(other.cosine, 3) })));
      return item;
    }));
  }

  function showFindings(ecg) {
    const rows = ecg.tasks[page.task] || [], range = rangeOf(rows);
    const shown = page.all ? rows : rows.slice(0, FEW);
    $("findings").replaceChildren(...shown.map((row) => findingItem(row, range)));
    $("more").hidden = rows.length <= FEW;
    $("more").textContent = page.all ? word("show_few") : word("show_all", { n: rows.length });
    $("tasks-label").hidden = page.about.tasks.length < 2;
    $("tasks").replaceChildren(...page.about.tasks.map((task) => {
      const option = made("option", both(task.title));
      option.value = task.name;
      option.selected = task.name === page.task;
      return option;
    }));
  }

  function findingItem(row, range) {
    const item = made("li"), button = made("button"), bar = made("span", undefined, "bar");
    const isAbove = row.threshold !== null && row.cosine >= row.threshold;
    const fill = made("i");
    fill.style.width = `${share(row.cosine, range)}%`;
    bar.append(fill);
    if (row.threshold !== null) {
      const line = made("b");
      line.style.left = `${share(row.threshold, range)}%`;
      bar.append(line);
    }
    const limit = row.threshold === null
      ? word("threshold", { threshold: word("none") })
      : word("threshold", { threshold: number(row.threshold, 3) });
    const stated = `${word("cosine")} ${number(row.cosine, 3)}, ${limit}`;
    bar.title = stated;
    bar.setAttribute("role", "img");
    bar.setAttribute("aria-label", isAbove ? `${stated}, ${word("above")}` : stated);
    const chance = row.probability === null ? word("none") : percent(row.probability);
    const chanceCell = made("span", chance, "chance");
    chanceCell.title = word("probability");
    const sure = made("span", reliability(row), "sure");
    sure.title = word("reliability");
    button.type = "button";
    button.setAttribute("aria-pressed", String(page.explained?.id === row.id));
    button.append(made("span", both(row.names), isAbove ? "above" : ""), bar, chanceCell, sure);
    button.addEventListener("click", () => {
      page.explained = row;
      show();
      $("sheet-title").focus();
      draw();
    });
    item.append(button);
    return item;
  }

  function reliability(row) {
    const parts = [word("n_val", { n: row.n_val })];
    const area = row.auroc;
    if (area && area.value !== null && area.low !== null) {
      parts.push(word("auroc", {
        value: number(area.value, 2), low: number(area.low, 2), high: number(area.high, 2),
      }));
    } else {
      parts.push(`AUROC ${word("none")}`);
    }
    return parts.join(", ");
  }

  function answerItem(answer) {
    const item = made("li", answer.text);
    item.append(made("span", word("answer", { cosine: number(answer.cosine, 3) })));
    const far = answer.distance === null
      ? word("no_distance") : word("distance", { distance: number(answer.distance, 3) });
    item.append(made("span", far));
    if (answer.beyond !== false) {
      item.append(made("span", word(answer.beyond ? "too_far" : "not_measured")));
    }
    return item;
  }

  // Listeners.

  for (const button of document.querySelectorAll("[data-say]")) {
    button.addEventListener("click", () => page.about && say(button.dataset.say));
  }
  $("files").addEventListener("change", (event) => {
    send([...event.target.files]);
    event.target.value = ""; // so that the same file can be chosen again
  });
  for (const kind of ["dragenter", "dragover"]) {
    document.addEventListener(kind, (event) => {
      event.preventDefault();
      $("drop").classList.add("over");
    });
  }
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) $("drop").classList.remove("over");
  });
  document.addEventListener("drop", (event) => {
    event.preventDefault(); // else the browser would open the file
    $("drop").classList.remove("over");
    if (page.about) send([...event.dataTransfer.files]);
  });
  $("ask").addEventListener("submit", (event) => {
    event.preventDefault();
    const text = $("question").value.trim();
    if (text) ask(text);
  });
  $("tasks").addEventListener("change", (event) => {
    const wasExplained = page.explained !== null;
    Object.assign(page, { task: event.target.value, all: false, explained: null });
    show();
    if (wasExplained) draw();
  });
  $("whole").addEventListener("click", () => {
    page.explained = null;
    show();
    draw();
  });
  $("more").addEventListener("click", () => {
    page.all = !page.all;
    show();
  });
  $("similar").addEventListener("click", findSimilar);
  $("forget").addEventListener("click", forget);

  asked("about.json").then((response) => response.json()).then((about) => {
    page.about = about;
    page.language = about.language;
    page.task = about.tasks.length ? about.tasks[0].name : null;
    show();
  }).catch(complain);
}

if (typeof document !== "undefined") start();
