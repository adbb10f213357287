// The page: keeps the server's state, shows a frame, and sends the user's actions.

import * as api from "./api.js";
import { keyOf, list } from "./keys.js";
import { Mask } from "./mask.js";
import { colour, Objects } from "./objects.js";
import { Timeline } from "./timeline.js";
import { Tools } from "./tools.js";
import { View } from "./view.js";

const KEPT = 48; // most decoded frames in the cache
const AHEAD = 6; // frames fetched ahead while playing
const $ = (id) => document.getElementById(id);

let video = null; // {name, width, height, count, rate}
let view, mask, tools;
let frame = 0, wanted = 0, shown = -1, running = false, playing = false, saving = Promise.resolve();
const frames = new Map(); // index -> promise of an ImageBitmap

const objects = new Objects($("objects"), {
  choose: (place) => { if (view) { view.chosen = place; view.tintAll(); } },
  rename: (id, name) => link.send({ type: "rename", id, name }),
  remove: (id, name) => { if (confirm(`Remove ${name} from the whole video?`)) link.send({ type: "remove", id }); },
});
const timeline = new Timeline($("timeline"), (index) => { $("follow").checked &&= !running; seek(index); });
const link = new api.Link(receive, (up) => {
  $("link").textContent = up ? "" : "The server does not answer; trying again …";
  if (up) link.send({ type: "hello" });
});

function notice(text, level = "info") {
  const item = document.createElement("li");
  item.className = level;
  item.textContent = text;
  $("notices").append(item);
  setTimeout(() => item.remove(), level === "error" ? 15000 : 6000);
}

async function attempt(work) {
  try {
    return await work();
  } catch (error) {
    notice(error.message, "error");
    return null;
  }
}

function receive(message) {
  const handle = {
    state() {
      const fresh = !video;
      video = message.video;
      if (fresh) begin();
      $("title").textContent = video.name;
      document.title = `${video.name} – aot-jax`;
      $("network").textContent = message.network;
      $("folder").textContent = message.folder;
      $("count").textContent = `of ${video.count}`;
      $("frame").max = video.count - 1;
      timeline.set(Uint8Array.from(message.status));
      setObjects(message.objects);
      setRunning(message.running);
      setDepths(message.depths, message.depth);
      setFormats(message.formats);
      if (fresh) seek(message.start);
      else show();
    },
    objects() {
      const before = objects.items.map((item) => item.id).join(), now = message.objects.map((item) => item.id).join();
      setObjects(message.objects);
      if (before !== now) show(); // positions in the list have changed
    },
    status() { timeline.set(Uint8Array.from(message.status)); timeline.show(frame); },
    frame() {
      timeline.mark(message.index, message.status);
      if (message.speed) $("progress").textContent = `frame ${message.index}: ${message.speed.toFixed(1)} frames a second, ${clock(message.left)} left`;
      if ($("follow").checked && running) seek(message.index);
      else if (message.index === frame && message.speed) show();
    },
    count() { video.count = message.count; $("count").textContent = `of ${video.count}`; },
    running() { setRunning(message.running); if (!message.running) { $("progress").textContent = message.text ?? ""; show(); } },
    depth() { $("depth").value = message.depth; },
    notice() { notice(message.text, message.level); },
    held() { $("held").hidden = false; $("held").firstElementChild.textContent = message.text; },
  }[message.type];
  handle?.();
}

function begin() {
  mask = new Mask(video.width, video.height);
  view = new View($("view"), mask, colour);
  const editor = {
    mask,
    value: () => {
      if (running) { notice("Stop tracking before you draw."); return null; }
      if (!objects.items.length) addObject();
      return objects.items.length ? objects.chosen : null;
    },
    begin: () => mask.begin(),
    changed: (rect) => view.tint(rect),
    commit: () => { if (mask.commit()) save(); },
    cut: (box) => cutOut(box),
  };
  tools = new Tools(view, editor);
  tools.choose("brush");
  view.opacity = $("opacity").value / 100;
}

function setObjects(items) { objects.set(items); view?.tintAll(); }

function addObject() {
  if (objects.items.length >= 255) { notice("255 objects are the most that the page draws."); return; }
  const id = Math.max(0, ...objects.items.map((item) => item.id)) + 1;
  objects.items.push({ id, name: "" });
  objects.choose(objects.items.length);
  link.send({ type: "add", id });
}

function setRunning(now) {
  running = now;
  $("stop").hidden = !now;
  for (const button of document.querySelectorAll("[data-run]")) button.disabled = now;
}

function setDepths(depths, depth) {
  $("speed").hidden = depths.length < 2;
  $("depth").replaceChildren(...depths.map((n) => new Option(n, n, false, n === depth)));
}

function setFormats(formats) {
  const chosen = new Set([...document.querySelectorAll("#exports input:checked")].map((box) => box.value));
  $("exports").replaceChildren($("exports").firstElementChild, ...formats.map((name) => {
    const label = document.createElement("label"), box = document.createElement("input");
    box.type = "checkbox"; box.value = name; box.checked = chosen.has(name);
    label.append(box, ` ${name}`);
    return label;
  }));
}

function clock(seconds) {
  const s = Math.round(seconds), h = Math.floor(s / 3600), m = Math.floor(s / 60) % 60;
  return h ? `${h} h ${m} min` : m ? `${m} min ${s % 60} s` : `${s} s`;
}

// Frames are fetched when they are looked at; the last few stay.
function fetchFrame(index) {
  if (!frames.has(index)) {
    const promise = api.getFrame(index);
    promise.catch(() => frames.delete(index));
    frames.set(index, promise);
    for (const [old, bitmap] of frames) {
      if (frames.size <= KEPT) break;
      frames.delete(old);
      bitmap.then((picture) => { if (picture !== view.frame) picture.close(); }, () => {});
    }
  }
  return frames.get(index);
}

let busy = false;
async function seek(index) {
  if (!video) return;
  wanted = Math.max(0, Math.min(video.count - 1, Math.round(index)));
  if (busy) return; // the running loop will pick up the new target
  busy = true;
  while (wanted !== frame || shown !== wanted) {
    const now = wanted;
    try {
      await saving; // so that the fetched mask includes the last edit
      const [picture, labels] = await Promise.all([fetchFrame(now), api.getMask(now)]);
      if (now !== wanted && !playing) { continue; }
      frame = shown = now;
      view.frame = picture;
      mask.show(labels);
      tools.cancel();
      view.tintAll();
      timeline.show(frame);
      if (document.activeElement !== $("frame")) $("frame").value = frame;
      $("view").setAttribute("aria-label", `Frame ${frame} with masks`);
      await new Promise(requestAnimationFrame);
    } catch (error) {
      notice(error.message, "error");
      frame = shown = now;
      break;
    }
  }
  busy = false;
}

// Fetch this frame's mask again, unless an edit is in progress.
function show() {
  if (mask.before) return;
  shown = -1;
  seek(wanted);
}

// Send the mask after all earlier ones, in order.
function save() {
  const index = frame, data = mask.data.slice();
  saving = saving.then(() => attempt(() => api.putMask(index, data)));
  return saving;
}

async function cutOut(box) {
  const place = objects.chosen, index = frame;
  if (!objects.items.length) return;
  const chosen = await attempt(() => api.cut(index, place, box, mask.data));
  if (!chosen || index !== frame) return;
  mask.begin();
  view.tint(mask.replace(place, chosen));
  if (mask.commit()) save();
}

async function load(files) {
  const answer = await attempt(() => api.loadMask(frame, files));
  if (!answer) return;
  for (const line of answer.notes) notice(line);
  show();
}

async function run(direction) {
  await saving;
  link.send({ type: "track", direction, frame });
}

function play() {
  playing = !playing;
  $("play").textContent = playing ? "⏸" : "▶";
  $("play").setAttribute("aria-label", playing ? "Pause" : "Play");
  const start = performance.now(), from = frame >= video.count - 1 ? 0 : frame;
  const tick = (now) => {
    if (!playing) return;
    const next = from + Math.floor(((now - start) / 1000) * video.rate);
    for (let i = 1; i <= AHEAD && next + i < video.count; i++) fetchFrame(next + i);
    seek(next);
    if (next >= video.count - 1) play();
    else requestAnimationFrame(tick);
  };
  if (playing) requestAnimationFrame(tick);
}

function choose(tool) {
  tools?.choose(tool);
  for (const button of document.querySelectorAll("[data-tool]")) {
    if (button.tagName === "BUTTON") button.setAttribute("aria-pressed", button.dataset.tool === tool);
  }
}

function brush(size) {
  const value = Math.max(1, Math.min(200, Math.round(size)));
  $("size").value = value;
  $("size-text").textContent = value;
  tools.size = value;
  if (view.cursor) { view.cursor[2] = value / 2; view.draw(); }
}

function step(rect) { if (rect) { view.tint(rect); save(); } }
function erase() { mask.begin(); view.tint(mask.replace(objects.chosen, null)); if (mask.commit()) save(); }
function given(direction) { const index = timeline.given(direction); if (index !== null) seek(index); }

const actions = {
  b: () => choose("brush"), e: () => choose("eraser"), p: () => choose("polygon"), r: () => choose("box"), c: () => choose("cut"),
  f: () => choose("fill"), h: () => choose("hand"), g: () => cutOut(null), "[": () => brush(tools.size / 1.25 - 0.5), "]": () => brush(tools.size * 1.25 + 0.5),
  Enter: () => tools.close(), Escape: () => tools.cancel(), Backspace: () => tools.back(), Delete: () => erase(),
  "Ctrl+z": () => step(mask.undo()), "Ctrl+y": () => step(mask.redo()), n: () => addObject(),
  ArrowLeft: () => seek(frame - 1), ArrowRight: () => seek(frame + 1), "Ctrl+ArrowLeft": () => seek(frame - 10), "Ctrl+ArrowRight": () => seek(frame + 10),
  "Shift+ArrowLeft": () => given(-1), "Shift+ArrowRight": () => given(1), Home: () => seek(0), End: () => seek(video.count - 1),
  k: () => play(), t: () => (running ? link.send({ type: "stop" }) : run("forward")), "Shift+t": () => run("backward"),
  0: () => view.fit(), "+": () => view.zoom(1.25), "=": () => view.zoom(1.25), "-": () => view.zoom(0.8),
  m: () => { view.opacity = view.opacity ? 0 : Math.max(0.2, $("opacity").value / 100); view.draw(); }, "?": () => $("keys").showModal(),
};

addEventListener("keydown", (event) => {
  const typing = event.target.matches("input:not([type=range]):not([type=checkbox]), select, dialog, dialog *");
  const own = event.target.matches("button, input, select") && ["Enter", "Space", "Home", "End", "ArrowLeft", "ArrowRight"].includes(event.key === " " ? "Space" : event.key);
  if (!video || typing || own) return;
  const key = keyOf(event);
  if (key === "Space") { tools.space = true; event.preventDefault(); return; }
  const action = /^[1-9]$/.test(key) ? () => objects.choose(Number(key)) : actions[key];
  if (action) { event.preventDefault(); action(); }
});
addEventListener("keyup", (event) => { if (event.key === " " && tools) tools.space = false; });

for (const button of document.querySelectorAll("nav [data-tool]")) button.onclick = () => choose(button.dataset.tool);
for (const button of document.querySelectorAll("[data-run]")) button.onclick = () => run(button.dataset.run);
const clicks = {
  help: "?", undo: "Ctrl+z", redo: "Ctrl+y", clear: "Delete", refine: "g", add: "n", fit: "0", "zoom-in": "+", "zoom-out": "-",
  play: "k", previous: "ArrowLeft", next: "ArrowRight", "previous-given": "Shift+ArrowLeft", "next-given": "Shift+ArrowRight",
};
for (const [id, key] of Object.entries(clicks)) $(id).onclick = () => video && actions[key]();
$("stop").onclick = () => link.send({ type: "stop" });
$("size").oninput = (event) => brush(Number(event.target.value));
$("opacity").oninput = (event) => { view.opacity = event.target.value / 100; view.draw(); };
$("frame").onchange = (event) => seek(Number(event.target.value));
$("depth").onchange = (event) => link.send({ type: "depth", depth: Number(event.target.value) });
$("fps").onchange = (event) => link.send({ type: "fps", fps: Number(event.target.value) || 0 });
$("file").onchange = (event) => { if (event.target.files.length) load(event.target.files); event.target.value = ""; };
$("save").onclick = () => write(false);
$("zip").onclick = () => write(true);

async function write(zip) {
  await saving;
  const formats = [...document.querySelectorAll("#exports input:checked")].map((box) => box.value);
  notice(zip ? "Making the zip …" : "Writing …");
  const answer = await attempt(() => api.exportTo(formats, zip));
  if (!answer) return;
  notice(answer.text);
  if (answer.file) Object.assign(document.createElement("a"), { href: answer.file, download: answer.name }).click();
}

$("timeline").addEventListener("keydown", (event) => {
  const jump = { ArrowLeft: -1, ArrowRight: 1, ArrowDown: -1, ArrowUp: 1, PageDown: -10, PageUp: 10, Home: -Infinity, End: Infinity }[event.key];
  if (jump === undefined || event.ctrlKey || event.shiftKey) return;
  event.preventDefault();
  event.stopPropagation();
  seek(Math.max(0, Math.min(video.count - 1, frame + jump)));
});
for (const [name, inside] of [["dragenter", true], ["dragover", true], ["dragleave", false], ["drop", false]]) {
  addEventListener(name, (event) => {
    event.preventDefault();
    $("drop").hidden = !inside;
    if (name === "drop" && event.dataTransfer.files.length) load(event.dataTransfer.files);
  });
}
list($("key-list"));
