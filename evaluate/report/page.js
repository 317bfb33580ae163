(function () {
  "use strict";
  var root = document.documentElement;
  var LANGUAGES = ["ja", "en"];

  // Words in attributes are no text that style could hide: they change with the language.
  function speak(language) {
    root.setAttribute("data-lang", language);
    root.setAttribute("lang", language);
    document.title = document.querySelector("title").getAttribute("data-" + language);
    document.querySelectorAll("[data-say]").forEach(function (button) {
      button.setAttribute("aria-pressed", String(button.getAttribute("data-say") === language));
    });
    document.querySelectorAll("[data-ja][data-en]").forEach(function (element) {
      var words = element.getAttribute("data-" + language);
      if (element.tagName === "IMG") element.setAttribute("alt", words);
      else if (element.tagName !== "TITLE") element.setAttribute("aria-label", words);
    });
  }

  function key(row, place) {
    var cell = row.cells[place];
    var value = cell.getAttribute("data-v");
    if (value !== null) return value === "" ? null : Number(value);
    var words = cell.querySelector("[lang=" + root.getAttribute("data-lang") + "]") || cell;
    return words.textContent.trim();
  }

  // Rows without a value stay at the end, whichever way one sorts.
  function compare(a, b, sign) {
    if (a === null || b === null) return (a === null) - (b === null);
    if (typeof a === "number" && typeof b === "number") return sign * (a - b);
    return sign * String(a).localeCompare(String(b), root.getAttribute("lang"), { numeric: true });
  }

  function sort(head) {
    var table = head.closest("table");
    var place = Array.prototype.indexOf.call(head.parentNode.cells, head);
    var numbers = head.classList.contains("sort-down");
    var before = head.getAttribute("aria-sort");
    var up = before === "none" ? !numbers : before === "descending";
    table.querySelectorAll("th[aria-sort]").forEach(function (other) {
      other.setAttribute("aria-sort", "none");
    });
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    var body = table.tBodies[0];
    Array.prototype.slice.call(body.rows)
      .map(function (row, number) { return { row: row, number: number, key: key(row, place) }; })
      .sort(function (a, b) { return compare(a.key, b.key, up ? 1 : -1) || a.number - b.number; })
      .forEach(function (entry) { body.appendChild(entry.row); });
  }

  document.addEventListener("click", function (event) {
    var button = event.target.closest("button");
    if (!button) return;
    var language = button.getAttribute("data-say");
    if (LANGUAGES.indexOf(language) >= 0) speak(language);
    else if (button.hasAttribute("data-print")) window.print();
    else if (button.parentNode.hasAttribute("aria-sort")) sort(button.parentNode);
  });

  // A printed page has no place to click: everything is opened, and closed again after.
  var opened = [];
  window.addEventListener("beforeprint", function () {
    opened = Array.prototype.slice.call(document.querySelectorAll("details:not([open])"));
    opened.forEach(function (details) { details.open = true; });
  });
  window.addEventListener("afterprint", function () {
    opened.forEach(function (details) { details.open = false; });
  });

  speak(root.getAttribute("data-lang"));
})();
