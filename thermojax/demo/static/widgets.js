// Sliders with labels and values, and tables of numbers.

const fixed = (x, digits = 2) => (x === null || x === undefined ? "…" : x.toFixed(digits));

// One slider for each [name, label, initial value], between the limits that the server gives.
export function sliders(form, fields, limits, changed, { step = 0.01, digits = 2 } = {}) {
  const inputs = {};
  for (const [name, words, value] of fields) {
    const label = document.createElement("label");
    const text = document.createElement("span");
    const output = document.createElement("output");
    const input = document.createElement("input");
    const [least, most] = limits[name];
    text.textContent = words;
    Object.assign(input, { type: "range", min: least, max: most, step, value, name });
    input.id = `${form.id}-${name}`;
    label.htmlFor = input.id; // or the output, which comes first, would be what it labels
    output.setAttribute("for", input.id);
    const show = () => { output.textContent = Number(input.value).toFixed(digits); };
    input.addEventListener("input", () => {
      show();
      changed(name, Number(input.value));
    });
    show();
    label.append(text, output, input);
    form.append(label);
    inputs[name] = { input, set: (x) => { input.value = x; show(); } };
  }
  form.addEventListener("submit", (event) => event.preventDefault());
  return inputs;
}

// Rows of [name, cell, cell ...]; cells are kept, so that nothing is made thirty times a second.
export function fill(table, rows) {
  const body = table.tBodies[0];
  while (body.rows.length > rows.length) body.deleteRow(-1);
  rows.forEach((cells, i) => {
    const row = body.rows[i] || body.insertRow();
    cells.forEach((text, k) => {
      const cell = row.cells[k] || row.insertCell();
      if (cell.textContent !== text) cell.textContent = text;
    });
  });
}

export const measured = (value, error, digits = 3) =>
  value === null || value === undefined ? "…" : `${fixed(value, digits)} ± ${fixed(error, digits)}`;

export const number = fixed;
