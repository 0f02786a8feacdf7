// The first tab: two coupled oscillators and their law.

import { Plot, curve, normal, pairs } from "./draw.js";
import { fill, measured, number, sliders } from "./widgets.js";

const SHOWN = 1500; // samples in the cloud
const TRAIL = 160; // positions of one machine behind it
const HISTORY = 240; // points of the error's curve
const DASH = { dash: [6, 4], width: 1.8 };

export class Oscillators {
  constructor(limits, send) {
    const fields = [
      ["temperature", "temperature kT", 1], ["friction", "damping γ", 1], ["mass", "mass m", 1],
      ["coupling", "coupling c", 0], ["interval", "time between samples", 0.5], ["speed", "speed", 1],
    ];
    sliders(document.getElementById("knobs"), fields, limits, (name, value) => send({ do: "turn", [name]: value }));
    document.getElementById("restart").addEventListener("click", () => send({ do: "restart" }));
    this.springs = new Plot("springs", { margin: [0, 4, 0, 4] });
    this.cloud = new Plot("cloud");
    this.marginals = new Plot("marginals");
    this.correlation = new Plot("correlation");
    this.precision = new Plot("precision");
    this.samples = [];
    this.trail = [];
    this.errors = [];
  }

  opened() {}

  take(frame) {
    if (frame.truth) {
      this.truth = frame.truth;
      this.samples = [];
      this.errors = [];
    }
    this.frame = frame;
    this.trail = [...this.trail, ...pairs(frame.trail)].slice(-TRAIL);
    this.samples.push(...pairs(frame.new));
    if (this.samples.length > SHOWN) this.samples = this.samples.slice(-SHOWN);
    if (frame.estimate) this.noteError(frame);
  }

  // The distance between estimate and truth, and what it is expected to be.
  noteError({ estimate: [value, error], samples }) {
    const twice = [1, 2, 1]; // the entry 12 stands in the matrix twice
    const exact = this.truth.inverse;
    const size = Math.sqrt(exact.reduce((sum, x, i) => sum + twice[i] * x * x, 0));
    const missed = Math.sqrt(value.reduce((sum, x, i) => sum + twice[i] * (x - exact[i]) ** 2, 0)) / size;
    const expected = Math.sqrt(error.reduce((sum, x, i) => sum + twice[i] * x * x, 0)) / size;
    const last = this.errors.at(-1);
    if (last && samples < last[0] * 1.02) return;
    this.errors.push([samples, missed, expected]);
    if (this.errors.length > HISTORY) this.errors = this.errors.filter((_, i) => i % 2 === 0);
  }

  draw() {
    if (!this.frame) return;
    this.drawSprings();
    this.drawCloud();
    this.drawMarginals();
    this.drawCorrelation();
    this.drawPrecision();
    this.write();
  }

  drawSprings() {
    const plot = this.springs;
    const half = this.frame.half;
    plot.begin([-4 * half, 4 * half], [-1, 1]);
    const [x1, x2] = this.trail.at(-1);
    const [p1, p2] = [-1.35 * half + x1, 1.35 * half + x2];
    const spring = (from, to, name, width) => {
      const n = 16;
      const points = Array.from({ length: n + 1 }, (_, i) => {
        const bent = i > 1 && i < n - 1 ? (i % 2 ? 0.35 : -0.35) : 0;
        return [from + ((to - from) * i) / n, bent];
      });
      plot.line(points, name, { width });
    };
    spring(-4 * half, p1, "trail", 1.5);
    spring(p2, 4 * half, "trail", 1.5);
    const coupling = this.truth.knobs[3];
    if (coupling !== 0) spring(p1, p2, "law", 0.8 + Math.abs(coupling));
    plot.disks([[p1, 0], [p2, 0]], "dots", 9 + 3 * Math.sqrt(this.truth.knobs[2]));
  }

  drawCloud() {
    const { cloud: plot, frame } = this;
    const half = frame.half;
    const ratio = (plot.canvas.clientWidth - 46) / (plot.canvas.clientHeight - 30);
    plot.begin([-half * ratio, half * ratio], [-half, half]);
    plot.axes({ xName: "x₁", yName: "x₂" });
    plot.dots(frame.relaxed ? this.samples : pairs(frame.now), "dots", 1.3, 0.45);
    plot.line(this.trail, "ink", { width: 1.2, alpha: 0.75 });
    plot.ellipse(frame.law, "law", { width: 2.5 });
    plot.ellipse(this.truth.covariance, "goal", DASH);
    plot.disks([this.trail.at(-1)], "ink", 5);
  }

  drawMarginals() {
    const { marginals: plot, frame } = this;
    const half = frame.half;
    const exact = this.truth.covariance;
    const peak = Math.max(1.4 / Math.sqrt(2 * Math.PI * Math.min(exact[0], exact[2])), 0.05);
    plot.begin([-half, half], [0, 2 * peak]);
    plot.axes({ yTicks: [], xName: "position" });
    for (const [i, base] of [[0, peak], [1, 0]]) {
      const counts = frame.counts[i];
      const all = counts.reduce((a, b) => a + b, 0) || 1;
      plot.bars(counts, -half, half, "dots", base, counts.length / (2 * half * all));
      const shifted = (variance) => curve((x) => base + normal(variance)(x), -half, half);
      plot.line(shifted(frame.law[2 * i]), "law", { width: 2.5 });
      plot.line(shifted(exact[2 * i]), "goal", DASH);
      plot.context.textBaseline = "top";
      plot.write(`x${"₁₂"[i]}`, plot.left + 5, plot.py(base + peak) + 4, "left");
    }
  }

  drawCorrelation() {
    const { correlation: plot, frame } = this;
    const exact = this.truth.correlation;
    const lowest = Math.min(-0.2, ...exact.map((r) => r / 1000 - 0.05));
    plot.begin([0, exact.length - 1], [lowest, 1.05]);
    plot.axes({ xName: "lag, in samples", yTicks: [0, 0.5, 1] });
    plot.line(exact.map((r, k) => [k, r / 1000]), "goal", DASH);
    plot.disks(frame.correlation.map((r, k) => [k, r / 1000]), "dots", 4);
  }

  drawPrecision() {
    const plot = this.precision;
    const log = this.errors.map(([n, ...e]) => [Math.log10(n), ...e.map((x) => Math.log10(Math.max(x, 1e-4)))]);
    plot.begin([2, 6.5], [-3, 0.2]);
    plot.axes({ xTicks: [2, 3, 4, 5, 6], yTicks: [-3, -2, -1, 0], xName: "samples",
      format: (x) => (x >= 0 ? (10 ** x).toLocaleString("en", { notation: "compact" }) : String(10 ** x)) });
    plot.line(log.map(([n, , expected]) => [n, expected]), "goal", DASH);
    plot.disks(log.map(([n, missed]) => [n, missed]), "dots", 3);
  }

  write() {
    const { frame, truth } = this;
    const [value, error] = frame.estimate || [[], []];
    const rows = ["11", "12", "22"].map((name, i) => [name, measured(value[i], error[i], 4), number(truth.inverse[i], 4)]);
    fill(document.getElementById("inverse"), rows);
    const names = ["work, done by the sliders", "heat, given to the bath", "energy, gained", "entropy, produced (k)"];
    fill(document.getElementById("account"), names.map((name, i) => {
      const [mean, spread, exact] = frame.account[i];
      return [name, measured(mean, spread, 2), number(exact, 2)];
    }));
    const tau = frame.tau ? measured(frame.tau[0], frame.tau[1], 2) : "…";
    document.getElementById("tau").textContent = `${tau}, exact ${number(truth.tau, 2)} samples`;
    document.getElementById("relaxing").textContent = frame.relaxed
      ? `${frame.samples.toLocaleString("en")} samples of 128 machines`
      : `Relaxing: the free energy is ${number(frame.divergence, 3)} kT above equilibrium. Samples count from 0.01 on.`;
  }
}
