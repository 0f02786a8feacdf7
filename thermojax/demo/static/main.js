// The connection, the tabs and the self-check. One WebSocket for each page.

import { readColors } from "./draw.js";
import { fill, measured, number } from "./widgets.js";
import { Oscillators } from "./oscillators.js";
import { Erasure } from "./erasure.js";
import { Inference } from "./inference.js";

const element = (id) => document.getElementById(id);
const tabs = ["oscillators", "erasure", "inference"];
const pictures = {};
let open = "oscillators";
let newest = null; // what came last and is not drawn yet
let paused = false;
let socket;
const drawnAt = [];
window.thermojax = { frames: 0 }; // how many have been drawn, for whoever wants to measure

function send(message) {
  if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify(message));
}

function complain(words) {
  element("error").textContent = words;
  element("error").hidden = !words;
}

function connect() {
  socket = new WebSocket(`ws://${location.host}/stream`);
  socket.addEventListener("message", (event) => receive(JSON.parse(event.data)));
  socket.addEventListener("close", () => { element("status").textContent = "Not connected: start thermojax demo, and load this page again."; });
}

function receive(message) {
  if (message.error !== undefined) return complain(message.error);
  if (message.kind === "hello") return greet(message);
  if (message.kind === "check") return showCheck(message);
  pictures[message.kind].take(message);
  if (newest === null) requestAnimationFrame(draw);
  newest = message;
}

function draw() {
  const message = newest;
  newest = null;
  if (message.kind === open) pictures[open].draw();
  send({ do: "seen", frame: message.frame });
  window.thermojax.frames += 1;
  const now = performance.now();
  drawnAt.push(now);
  while (drawnAt[0] < now - 1000) drawnAt.shift();
  if (window.thermojax.frames % 15 === 0 && !paused)
    element("status").textContent = `${drawnAt.length} updates a second, time ${number(message.time, 1)}`;
  if (message.kind === "erasure") element("status").textContent = "Every change of the protocol is a new run.";
}

function greet({ version, ranges }) {
  element("version").textContent = version;
  element("status").textContent = "Connected. The self-check runs first.";
  pictures.oscillators = new Oscillators(ranges.turn, send);
  pictures.erasure = new Erasure(ranges.erase, send);
  pictures.inference = new Inference(ranges, send);
}

function showCheck({ fine, rows, first_law: firstLaw }) {
  const passed = rows.filter((row) => row.fine).length;
  const verdict = element("verdict");
  verdict.textContent = rows.length === 0 ? "could not be done: the terminal says why" :
    `${passed} of ${rows.length} numbers agree with the exact law; first law to ${firstLaw.toExponential(0)} kT`;
  verdict.className = fine ? "fine" : "missed";
  const cells = rows.map((row) => [row.name, measured(row.simulated, row.error, 4), number(row.exact, 4),
    `${row.deviation < 0 ? "−" : "+"}${number(Math.abs(row.deviation), 1)} σ`]);
  fill(element("check-table"), cells);
  element("check-table").hidden = rows.length === 0;
  element("check").dataset.done = fine ? "fine" : "missed";
  if (fine && window.innerWidth < 1100) element("check").open = false;
  if (fine) element("status").textContent = "Preparing the machines …";
}

function show(tab) {
  open = tab;
  complain("");
  for (const name of tabs) {
    element(name).hidden = name !== tab;
    element(`tab-${name}`).setAttribute("aria-selected", String(name === tab));
    element(`tab-${name}`).tabIndex = name === tab ? 0 : -1;
  }
  send({ do: "open", tab });
  pictures[tab]?.opened();
}

for (const [i, name] of tabs.entries()) {
  const tab = element(`tab-${name}`);
  tab.addEventListener("click", () => show(name));
  tab.addEventListener("keydown", (event) => {
    const steps = { ArrowRight: 1, ArrowLeft: tabs.length - 1, Home: tabs.length - i, End: tabs.length - 1 - i };
    if (!(event.key in steps)) return;
    const next = tabs[(i + steps[event.key]) % tabs.length];
    show(next);
    element(`tab-${next}`).focus();
    event.preventDefault();
  });
}

element("pause").addEventListener("click", () => {
  paused = !paused;
  send({ do: "pause", on: paused });
  element("pause").setAttribute("aria-pressed", String(paused));
  element("pause").textContent = paused ? "Go on" : "Pause";
  if (paused) element("status").textContent = "Paused.";
});

readColors();
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  readColors();
  pictures[open]?.draw();
});
addEventListener("resize", () => pictures[open]?.draw());
connect();
