// A bar chart of rows { name, lines }, as wide as its container.
export function chart(rows) {
  const most = Math.max(...rows.map((row) => row.lines));
  const figure = document.createElement("figure");
  for (const { name, lines } of rows) {
    const row = document.createElement("div");
    row.className = "row";
    const label = document.createElement("span");
    label.textContent = name;
    const bar = document.createElement("div");
    bar.className = "bar";
    bar.style.width = `${(100 * lines) / most}%`;
    bar.textContent = `${lines} lines`;
    row.append(label, bar);
    figure.append(row);
  }
  return figure;
}
