// A click on a picture of attention shows it large, with the tokens at its sides and each share under the pointer.
const labels = JSON.parse(document.querySelector("main").dataset.labels);
const large = document.getElementById("large");
const element = (name, text, more = {}) => Object.assign(document.createElement(name), { innerHTML: text }, more);
const plain = (label) => element("i", label).textContent;

for (const map of document.querySelectorAll(".map")) {
  map.addEventListener("click", () => {
    const values = Uint8Array.from(atob(map.dataset.values), (sign) => sign.charCodeAt(0));
    const table = document.createElement("table");
    table.append(element("tr", "<th></th>" + labels.map((label) => `<th>${label}</th>`).join("")));
    labels.forEach((looking, row) => {
      const line = element("tr", `<th>${looking}</th>`);
      labels.slice(0, row + 1).forEach((seen, column) => {
        const share = values[row * labels.length + column];
        const cell = element("td", "");
        cell.style.setProperty("--share", share / 100);
        cell.title = `${plain(looking)} takes ${share}% from ${plain(seen)}`;
        line.append(cell);
      });
      table.append(line);
    });
    document.querySelectorAll(".map.open").forEach((other) => other.classList.remove("open"));
    map.classList.add("open");
    large.replaceChildren(element("h3", map.dataset.name), table);
    large.hidden = false;
    large.scrollIntoView({ behavior: "smooth", block: "nearest" });
  });
}
