// The third tab: a line learned from points, and the account of the ramp.

import { Plot, pairs } from "./draw.js";
import { fill, measured, number, sliders } from "./widgets.js";

const HISTORY = 600;
const DASH = { dash: [6, 4], width: 1.8 };
const PLANE = [[-1.1, 1.1], [-3.1, 3.1]];
const PRIOR = [[0, 0], [1, 0, 1]];

export class Inference {
  constructor(ranges, send) {
    this.send = send;
    this.data = new Plot("data");
    this.weights = new Plot("weights");
    this.flow = new Plot("flow");
    this.history = [];
    const fields = [["duration", "ramp time of a point", 3], ["noise", "noise of the data", 0.3]];
    sliders(document.getElementById("ramp"), fields, ranges.ramp, (name, value) => send({ do: "ramp", [name]: value }));
    this.data.canvas.addEventListener("click", (event) => this.add(...this.data.under(event)));
    document.getElementById("datum").addEventListener("submit", (event) => {
      event.preventDefault();
      this.add(Number(document.getElementById("datum-u").value), Number(document.getElementById("datum-y").value));
    });
    document.getElementById("forget").addEventListener("click", () => send({ do: "forget" }));
    document.getElementById("anew").addEventListener("click", () => {
      this.history = [];
      send({ do: "restart" });
    });
  }

  add(u, y) {
    if (Math.abs(u) <= 1.1 && Math.abs(y) <= 3.1)
      this.send({ do: "point", u: Math.min(Math.max(u, -1), 1), y: Math.min(Math.max(y, -3), 3) });
  }

  opened() {
    this.data.begin(...PLANE); // clicks have their place before the first frame has come
    this.data.axes({ xName: "u", yName: "y" });
    this.draw();
  }

  take(frame) {
    this.frame = frame;
    if (this.history.length && frame.time < this.history.at(-1)[0]) this.history = [];
    const [work, heat, free, , above] = frame.books;
    this.history.push([frame.time, work[0], heat[0], free[2] + above[2], free[2]]);
    // Every other of the older half is left out: the curve stays whole, and short.
    if (this.history.length > HISTORY)
      this.history = this.history.filter((_, i) => i % 2 === 0 || i > HISTORY / 2);
  }

  draw() {
    if (!this.frame || this.history.length === 0) return; // none yet, or just begun anew
    this.drawData();
    this.drawWeights();
    this.drawFlow();
    this.write();
  }

  drawData() {
    const { data: plot, frame } = this;
    plot.begin(...PLANE);
    plot.axes({ xName: "u", yName: "y" });
    for (const [a, b] of pairs(frame.machines.slice(0, frame.lines)))
      plot.line([[-1.1, a - 1.1 * b], [1.1, a + 1.1 * b]], "trail", { width: 1, alpha: 0.7 });
    const [a, b] = frame.posterior[0].map((x) => x / 1000);
    plot.line([[-1.1, a - 1.1 * b], [1.1, a + 1.1 * b]], "goal", DASH);
    for (const [u, y, weight] of frame.points) plot.disks([[u, y]], "dots", 3 + 4 * weight);
  }

  drawWeights() {
    const { weights: plot, frame } = this;
    const ratio = (plot.canvas.clientWidth - 46) / (plot.canvas.clientHeight - 30);
    plot.begin([-4 * ratio, 4 * ratio], [-4, 4]);
    plot.axes({ xName: "intercept a", yName: "slope b" });
    plot.dots(pairs(frame.machines), "dots", 1.5, 0.6);
    const drawn = (law, name, style) => plot.ellipse(law[1], name, { mean: law[0].map((x) => x / 1000), ...style });
    drawn(PRIOR, "trail", { width: 1.5 });
    drawn(frame.law, "law", { width: 2.5 });
    drawn(frame.posterior, "goal", DASH);
  }

  drawFlow() {
    const { flow: plot, history } = this;
    const all = history.flatMap((row) => row.slice(1));
    const [least, most] = [Math.min(-0.5, ...all), Math.max(1, ...all)];
    const pad = 0.06 * (most - least);
    plot.begin([history[0][0], Math.max(history.at(-1)[0], history[0][0] + 5)], [least - pad, most + pad]);
    plot.axes({ xName: "time", yName: "kT" });
    const styles = [["dots", {}], ["third", {}], ["law", { width: 2.5 }], ["goal", DASH]];
    styles.forEach(([name, style], k) => plot.line(history.map((row) => [row[0], row[k + 1]]), name, style));
  }

  write() {
    const names = ["work", "heat", "−ln p(y), by Jarzynski", "work above −ln p(y)"];
    const rows = names.map((name, i) => {
      const [mean, error, exact] = this.frame.books[i];
      return [name, measured(mean, error, 2), number(exact, 2)];
    });
    rows.push(["F of the law above equilibrium", "", number(this.frame.books[4][2], 3)]);
    rows.push(["effective machines, of 256", number(this.frame.effective, 0), ""]);
    fill(document.getElementById("books"), rows);
  }
}
