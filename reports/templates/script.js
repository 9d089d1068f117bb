// The page is complete without this: it sorts tables and switches the theme.
(() => {
  const root = document.documentElement;
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const show = (theme) => { root.classList.toggle("dark", theme === "dark"); root.classList.toggle("light", theme === "light"); };
  let chosen = null;
  const follow = () => show(chosen ?? (dark.matches ? "dark" : "light"));
  dark.addEventListener("change", follow);
  follow();
  document.querySelector("button.theme").addEventListener("click", () => {
    chosen = root.classList.contains("dark") ? "light" : "dark";
    follow();
  });

  const key = (cell) => cell.dataset.order === undefined ? cell.textContent.trim() : Number(cell.dataset.order);
  const compare = (a, b) => typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b));
  for (const table of document.querySelectorAll("table.sortable")) {
    table.querySelectorAll("thead th").forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = head.textContent;
      button.title = head.title;
      head.replaceChildren(button);
      button.addEventListener("click", () => {
        const down = head.getAttribute("aria-sort") === "ascending";
        table.querySelectorAll("thead th").forEach((other) => other.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        const body = table.tBodies[0];
        const rows = [...body.rows].sort((a, b) => compare(key(a.cells[column]), key(b.cells[column])) * (down ? -1 : 1));
        body.append(...rows);
      });
    });
  }
})();
