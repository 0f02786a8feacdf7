// The second tab: a protocol drawn by hand, what it costs, and the paths that follow it.

import { Plot } from "./draw.js";
import { fill, measured, number, sliders } from "./widgets.js";

const LINES = [[1, 0], [0.5, 0], [0, 0], [0, 5], [0, 10], [0.5, 10], [1, 10], [1, 5], [1, 0]];
const DASH = { dash: [6, 4], width: 1.8 };
const STEP = 90; // milliseconds between two pictures

export class Erasure {
  constructor(limits, send) {
    this.limits = limits;
    this.sendNow = send;
    this.values = LINES.map((pair) => [...pair]);
    this.duration = 3;
    this.plots = [new Plot("lowering"), new Plot("tilt")];
    this.bit = new Plot("bit");
    this.when = document.getElementById("when");
    this.playing = !matchMedia("(prefers-reduced-motion: reduce)").matches;
    this.names = ["lowering", "tilt"];
    this.names.forEach((name, k) => this.makeDraggable(name, k));
    this.makeKnots();
    document.getElementById("duration").addEventListener("change", (event) => {
      this.duration = Number(event.target.value);
      this.send();
    });
    const set = (id, values) => document.getElementById(id).addEventListener("click", () => this.set(values()));
    set("straight", () => LINES);
    set("nothing", () => LINES.map(() => [1, 0]));
    set("learned", () => this.frame?.trained.values ?? LINES);
    const play = document.getElementById("play");
    const showPlaying = () => {
      play.textContent = this.playing ? "Playing" : "Stopped";
      play.setAttribute("aria-pressed", String(this.playing));
    };
    play.addEventListener("click", () => {
      this.playing = !this.playing;
      showPlaying();
    });
    this.when.addEventListener("input", () => {
      this.playing = false;
      showPlaying();
      this.drawBit();
    });
    showPlaying();
    setInterval(() => {
      if (!this.playing || !this.frame || document.getElementById("erasure").hidden) return;
      this.when.value = (Number(this.when.value) + 1) % this.frame.counts.length;
      this.drawBit();
    }, STEP);
  }

  makeKnots() {
    const form = document.getElementById("knots");
    this.knots = this.names.map((name, k) => {
      const words = ["barrier a", "tilt f"][k];
      const fields = this.values.map((pair, i) => [`${name}-${i}`, `${words}, knot ${i + 1}`, pair[k]]);
      const limits = Object.fromEntries(fields.map(([own]) => [own, this.limits[name]]));
      return Object.values(sliders(form, fields, limits, (own, value) => {
        this.values[Number(own.split("-")[1])][k] = value;
        this.send();
        this.drawProtocols();
      }, { step: 0.05 }));
    });
  }

  makeDraggable(name, k) {
    const plot = this.plots[k];
    let dragging = null;
    const move = (event) => {
      const [, y] = plot.under(event);
      const [least, most] = this.limits[name];
      this.values[dragging][k] = Math.min(Math.max(y, least), most);
      this.knots[k][dragging].set(this.values[dragging][k]);
      this.send();
      this.drawProtocols();
    };
    plot.canvas.addEventListener("pointerdown", (event) => {
      const [x] = plot.under(event);
      const last = this.values.length - 1;
      dragging = Math.min(Math.max(Math.round((x / this.duration) * last), 0), last);
      plot.canvas.setPointerCapture(event.pointerId);
      move(event);
    });
    plot.canvas.addEventListener("pointermove", (event) => { if (dragging !== null) move(event); });
    for (const end of ["pointerup", "pointercancel"]) plot.canvas.addEventListener(end, () => { dragging = null; });
  }

  set(values) {
    this.values = values.map((pair) => [...pair]);
    this.values.forEach((pair, i) => pair.forEach((value, k) => this.knots[k][i].set(value)));
    this.send();
    this.drawProtocols();
  }

  // The newest protocol, not more often than the page draws.
  send() {
    if (this.queued) return;
    this.queued = true;
    requestAnimationFrame(() => {
      this.queued = false;
      const [lowering, tilt] = [0, 1].map((k) => this.values.map((pair) => Number(pair[k].toFixed(4))));
      this.sendNow({ do: "erase", lowering, tilt, duration: this.duration });
    });
  }

  opened() {
    this.send();
    this.drawProtocols();
  }

  take(frame) { this.frame = frame; }

  draw() {
    this.drawProtocols();
    this.drawBit();
    this.write();
  }

  drawProtocols() {
    const last = this.values.length - 1;
    this.plots.forEach((plot, k) => {
      const [least, most] = this.limits[this.names[k]];
      const pad = 0.04 * (most - least);
      plot.begin([-0.03 * this.duration, 1.03 * this.duration], [least - pad, most + pad]);
      plot.axes({ xName: "time" });
      const at = (values) => values.map((pair, i) => [(i * this.duration) / last, pair[k]]);
      if (this.frame && this.frame.duration === this.duration) plot.line(at(this.frame.trained.values), "goal", DASH);
      plot.line(at(this.values), "law", { width: 2.5 });
      plot.disks(at(this.values), "law", 6);
    });
  }

  drawBit() {
    const { bit: plot, frame } = this;
    if (!frame) return;
    const i = Number(this.when.value);
    const half = frame.half;
    const [counts, density, energies] = [frame.counts[i], frame.density[i], frame.energies[i]];
    const all = counts.reduce((a, b) => a + b, 0) || 1;
    plot.begin([-half, half], [0, 4.6]);
    plot.axes({ yTicks: [], xName: "x" });
    plot.bars(counts, -half, half, "dots", 0, counts.length / (2 * half * all));
    const step = (2 * half) / density.length;
    plot.line(density.map((d, k) => [-half + (k + 0.5) * step, d / 1000]), "law");
    const lowest = Math.min(...energies) / 10;
    const width = (2 * half) / (energies.length - 1);
    plot.line(energies.map((u, k) => [-half + k * width, 0.05 + (u / 10 - lowest) / 10]), "goal", DASH);
    plot.context.textBaseline = "top";
    plot.write("potential: 10 kT for each unit of density", plot.left + 5, plot.top + 3, "left");
    const moment = (i * frame.duration) / (frame.counts.length - 1);
    document.getElementById("moment").textContent = number(moment, 2);
  }

  write() {
    const { hand, trained } = this.frame;
    const percent = ([value, error]) => `${number(100 * value, 2)} ± ${number(100 * error, 2)} %`;
    const both = (name, read) => [name, read(hand), read(trained)];
    fill(document.getElementById("costs"), [
      both("work of the paths", (x) => measured(x.work[0], x.work[1], 2)),
      both("work, exact density", (x) => number(x.exact_work, 3)),
      both("bound in this time", (x) => number(x.in_time, 3)),
      both("bound, however slow", (x) => number(x.landauer, 3)),
      both("failures of the paths", (x) => percent(x.failures)),
      both("failures, exact density", (x) => `${number(100 * x.exact_failures, 3)} %`),
    ]);
  }
}
