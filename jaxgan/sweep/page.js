const data = JSON.parse(document.getElementById("data").textContent);
const $ = id => document.getElementById(id);
const COLORS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#8c6d31"]; // Okabe and Ito, no yellow
const FONT = { family: 'system-ui, -apple-system, "Segoe UI", sans-serif', size: 12.5, color: "#1c2733" };
const AXIS = { automargin: true, exponentformat: "e" };
const OPTIONS = { responsive: true, displaylogo: false, modeBarButtonsToRemove: ["select2d", "lasso2d"] };
const isNumber = v => typeof v === "number";
const show = v => isNumber(v) ? String(Number(v.toPrecision(4))) : v === null || v === undefined ? "-" : String(v);
const plain = v => show(v).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;"); // plotly reads some HTML
const brief = (text, length) => text.length > length ? `${text.slice(0, length - 1)}…` : text;

function element(name, text, parent, attributes = {}) {
  const made = document.createElement(name);
  if (text !== null) made.textContent = text;
  Object.entries(attributes).forEach(([key, value]) => made.setAttribute(key, value));
  parent.append(made);
  return made;
}

function compare(a, b) { // numbers before words; what is missing comes last, whichever way the rest is sorted
  return isNumber(a) && isNumber(b) ? a - b : isNumber(a) ? -1 : isNumber(b) ? 1 : String(a).localeCompare(String(b));
}

// columns: [{name, key: row -> value to sort by, cell: (row, td) -> fills it, number: whether it is one}]
function table(where, columns, rows, mark) {
  const head = element("tr", null, element("thead", null, where)), body = element("tbody", null, where);
  function fill(sorted) {
    body.replaceChildren();
    for (const row of sorted) {
      const line = element("tr", null, body, mark && mark(row) ? { class: "best" } : {});
      for (const column of columns) column.cell(row, element("td", null, line, column.number ? { class: "number" } : {}));
    }
  }
  columns.forEach(column => {
    const heading = element("th", column.name, head, { tabindex: 0, ...(column.number ? { class: "number" } : {}) });
    const sort = () => {
      const down = heading.getAttribute("aria-sort") === "ascending";
      for (const other of head.children) other.removeAttribute("aria-sort");
      heading.setAttribute("aria-sort", down ? "descending" : "ascending");
      const missing = row => column.key(row) === null || column.key(row) === undefined;
      const known = rows.filter(row => !missing(row)).sort((a, b) => (down ? -1 : 1) * compare(column.key(a), column.key(b)));
      fill([...known, ...rows.filter(missing)]);
    };
    heading.onclick = sort;
    heading.onkeydown = event => { if (event.key === "Enter") sort(); };
  });
  fill(rows);
}

const words = (name, of) => ({ name, key: of, cell: (row, td) => { td.textContent = show(of(row)); }, number: false });
const numbers = (name, of) => ({ ...words(name, of), number: true });
const either = (name, of, rows) => rows.every(row => isNumber(of(row))) ? numbers(name, of) : words(name, of);

function cividis(t) { // its ends and middle, near enough for lines
  const stops = [[0, 32, 77], [124, 123, 120], [230, 205, 60]], i = Math.min(1, Math.floor(2 * t)), f = 2 * t - i;
  return `rgb(${stops[i].map((from, k) => Math.round(from + f * (stops[i + 1][k] - from))).join(",")})`;
}

function curves(metric) {
  const with_curve = data.settings.filter(s => s.curves[metric]), traces = [], few = with_curve.length <= COLORS.length;
  with_curve.forEach((setting, i) => {
    const [x, mean, spread] = setting.curves[metric], color = few ? COLORS[i] : cividis(i / (with_curve.length - 1));
    const shared = { x, legendgroup: `s${i}`, visible: i < data.shown ? true : "legendonly", line: { color, width: 2 }, mode: "lines" };
    if (spread.some(s => s !== null)) {
      const edge = sign => mean.map((m, k) => m + sign * (spread[k] || 0));
      const hidden = { ...shared, line: { width: 0 }, showlegend: false, hoverinfo: "skip" };
      traces.push({ ...hidden, y: edge(-1) }, { ...hidden, y: edge(1), fill: "tonexty", fillcolor: color, opacity: 1 });
      traces[traces.length - 1].fillcolor = color.startsWith("#") ? color + "2e" : color.replace("rgb", "rgba").replace(")", ",0.12)");
    }
    const single = x.length === 1 ? { mode: "markers" } : {};
    traces.push({ ...shared, ...single, y: mean, name: plain(brief(setting.label, 52)), hovertemplate: `${plain(setting.label)}<br>step %{x}: %{y}<extra></extra>` });
  });
  const legend = few && with_curve.every(s => s.label.length < 60) ? { orientation: "h", y: -0.18 } : { font: { size: 11 } };
  const layout = { height: 480, margin: { t: 34, b: 50, l: 60, r: 10 }, font: FONT, legend, showlegend: true, xaxis: { ...AXIS, title: { text: "step" } }, yaxis: { ...AXIS, title: { text: plain(metric) } } };
  Plotly.react("curves", traces, layout, OPTIONS);
}

function chooser() {
  const names = data.drawn;
  if (!names.length) { $("curves-section").hidden = true; return; }
  names.forEach(name => element("option", name, $("metric"), { value: name }));
  $("metric").onchange = () => curves($("metric").value);
  if (data.settings.length > data.shown) $("hidden-curves").textContent = `The first ${data.shown} of ${data.settings.length} settings are shown at first.`;
  curves(names[0]);
}
