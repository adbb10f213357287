// The page: keeps the server's state, shows a frame, and sends the user's actions.

import * as api from "./api.js";
import { connect } from "./controls.js";
import { Frames } from "./frames.js";
import { Mask } from "./mask.js";
import { colour, Objects } from "./objects.js";
import * as panel from "./panel.js";
import { attempt, notice } from "./panel.js";
import { Timeline } from "./timeline.js";
import { Tools } from "./tools.js";
import { View } from "./view.js";

const AHEAD = 6; // frames fetched ahead while playing
const $ = (id) => document.getElementById(id);

let video = null; // {name, width, height, count, rate}
let view, mask, tools;
let frame = 0, wanted = 0, shown = -1, busy = false, running = false, playing = false, saving = Promise.resolve();
const frames = new Frames((picture) => picture === view.frame);

const objects = new Objects($("objects"), {
  rename: (id, name) => link.send({ type: "rename", id, name }),
  remove: (id, name) => { if (confirm(`Remove ${name} from the whole video?`)) link.send({ type: "remove", id }); },
});
const timeline = new Timeline($("timeline"), (index) => { $("follow").checked &&= !running; seek(index); });
const link = new api.Link(receive, (up) => {
  $("link").textContent = up ? "" : "The server does not answer; trying again …";
  if (up) link.send({ type: "hello" });
});

function receive(message) {
  const handle = {
    state() {
      const fresh = !video;
      video = message.video;
      if (fresh) begin();
      panel.setVideo(message);
      panel.setDepths(message.depths);
      panel.setDepth(message);
      panel.setFormats(message.formats);
      timeline.set(Uint8Array.from(message.status));
      setObjects(message.objects);
      setRunning(message.running);
      if (fresh) seek(message.start);
      else show();
    },
    objects() {
      if (!setObjects(message.objects)) show();
    },
    status() { timeline.set(Uint8Array.from(message.status)); timeline.show(frame); },
    frame() {
      timeline.mark(message.index, message.status);
      if (message.speed) panel.setProgress(message);
      if ($("follow").checked && running) seek(message.index);
      else if (message.index === frame && message.speed) show();
    },
    count() { video.count = message.count; panel.setCount(video.count); },
    running() { setRunning(message.running); if (!message.running) { $("progress").textContent = message.text ?? ""; show(); } },
    depth() { panel.setDepth(message); },
    notice() { notice(message.text, message.level); },
    held() { $("held").hidden = false; $("held").firstElementChild.textContent = message.text; },
  }[message.type];
  handle?.();
}

function begin() {
  frames.fit(video);
  mask = new Mask(video.width, video.height);
  view = new View($("view"), mask, colour);
  const editor = {
    mask,
    ready: editable,
    value: () => {
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

function editable() {
  if (running) notice("Stop tracking before you draw.");
  return Boolean(video) && !running;
}

// Returns whether the objects have kept their positions, which are their values in masks.
function setObjects(items) {
  const kept = objects.items.every((item, i) => item.id === items[i]?.id);
  objects.set(items);
  if (!kept) mask?.forget();
  view?.tintAll();
  return kept;
}

function addObject() {
  if (!editable()) return;
  if (objects.items.length >= 255) { notice("255 objects are the most that the page draws."); return; }
  const id = Math.max(0, ...objects.items.map((item) => item.id)) + 1;
  objects.items.push({ id, name: "" });
  objects.choose(objects.items.length);
  link.send({ type: "add", id });
}

function setRunning(now) { running = now; panel.setRunning(now); }

async function seek(index) {
  if (!video) return;
  wanted = Math.max(0, Math.min(video.count - 1, Math.round(index)));
  if (busy) return; // the running loop will pick up the new target
  busy = true;
  while (wanted !== frame || shown !== wanted) {
    const now = wanted;
    if (now !== frame) tools.cancel();
    try {
      await saving; // so that the fetched mask includes the last edit
      const masked = shown < 0 || timeline.has(now); // else there is no mask to fetch
      const [picture, labels] = await Promise.all([frames.get(now), masked ? api.getMask(now) : null]);
      if (now !== wanted && !playing) { continue; }
      frame = shown = now;
      view.frame = picture;
      mask.show(now, labels);
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
  timeline.drawn(index);
  saving = saving.then(() => attempt(() => api.putMask(index, data)));
  return saving;
}

async function cutOut(box) {
  const place = objects.chosen, index = frame;
  if (!objects.items.length || !editable()) return;
  const chosen = await attempt(() => api.cut(index, place, box, mask.data));
  if (chosen && index === frame) tools.edit((mask) => mask.replace(place, chosen));
}

// Load mask files: [{path, file}], or a promise of them.
async function load(files) {
  if (!editable()) return;
  const answer = await attempt(async () => api.loadMask(frame, await files));
  if (!answer) return;
  for (const line of answer.notes) notice(line);
  show();
}

async function run(direction) {
  tools.cancel();
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
    for (let i = 1; i <= AHEAD && next + i < video.count; i++) frames.get(next + i);
    seek(next);
    if (next >= video.count - 1) play();
    else requestAnimationFrame(tick);
  };
  if (playing) requestAnimationFrame(tick);
}

function choose(tool) { tools?.choose(tool); panel.setTool(tool); }

function brush(size) {
  const value = Math.max(1, Math.min(200, Math.round(size)));
  $("size").value = value;
  $("size-text").textContent = value;
  tools.size = value;
  if (view.cursor) view.point([view.cursor[0], view.cursor[1], value / 2]);
}

function undo() { if (editable()) changed(mask.undo()); }
function redo() { if (editable()) changed(mask.redo()); }
function changed(rect) { if (rect) { view.tint(rect); save(); } }

function erase() { if (editable()) tools.edit((mask) => mask.replace(objects.chosen, null)); }

function setOpacity(value) { view.opacity = value; view.draw(); }
function fade(by) { $("opacity").value = Number($("opacity").value) + by; setOpacity($("opacity").value / 100); }
function nextDepth() {
  const depths = [...$("depth").options].map((option) => Number(option.value)), at = depths.indexOf(Number($("depth").value));
  if (depths.length > 1) link.send({ type: "depth", depth: depths[(at + 1) % depths.length] });
}
function go(selector) { const box = document.querySelector(selector); box?.focus(); box?.select(); }
function stop() { link.send({ type: "stop" }); }
function given(direction) { const index = timeline.given(direction); if (index !== null) seek(index); }

async function write(zip) {
  await saving;
  const formats = panel.chosenFormats();
  notice(zip ? "Making the zip …" : "Writing …");
  const answer = await attempt(() => api.exportTo(formats, zip));
  if (!answer) return;
  notice(answer.text);
  if (answer.file) Object.assign(document.createElement("a"), { href: answer.file, download: answer.name }).click();
}

const act = {
  b: () => choose("brush"), e: () => choose("eraser"), p: () => choose("polygon"), r: () => choose("box"), c: () => choose("cut"),
  f: () => choose("fill"), h: () => choose("hand"), g: () => cutOut(null), "[": () => brush(tools.size / 1.25 - 0.5), "]": () => brush(tools.size * 1.25 + 0.5),
  Enter: () => tools.close(), Escape: () => tools.cancel(), Backspace: () => tools.back(), Delete: erase,
  i: () => go("#objects .chosen input"), "Shift+Delete": () => document.querySelector("#objects .chosen button:last-child")?.click(),
  j: () => go("#frame"), d: nextDepth, s: () => $("follow").click(), x: () => document.querySelector("#exports input")?.focus(),
  "Ctrl+z": undo, "Ctrl+y": redo, n: addObject,
  ArrowLeft: () => seek(frame - 1), ArrowRight: () => seek(frame + 1), "Ctrl+ArrowLeft": () => seek(frame - 10), "Ctrl+ArrowRight": () => seek(frame + 10),
  "Shift+ArrowLeft": () => given(-1), "Shift+ArrowRight": () => given(1), Home: () => seek(0), End: () => seek(video.count - 1),
  k: play, t: () => (running ? stop() : run("forward")), "Shift+t": () => run("backward"), "Shift+b": () => run("both"),
  0: () => view.fit(), "+": () => view.zoom(1.25), "=": () => view.zoom(1.25), "-": () => view.zoom(0.8),
  m: () => setOpacity(view.opacity ? 0 : Math.max(0.2, $("opacity").value / 100)), ",": () => fade(-10), ".": () => fade(10),
  l: () => $("file").click(), w: () => write(false), z: () => write(true), "?": () => $("keys").showModal(),
};

connect({
  act, run, stop, brush, seek, load, write,
  ready: () => video !== null,
  hold: (on) => { tools.space = on; },
  chooseObject: (place) => objects.choose(place),
  chooseTool: choose,
  opacity: setOpacity,
  jump: (by) => seek(frame + by),
  depth: (depth) => link.send({ type: "depth", depth }),
  fps: (fps) => link.send({ type: "fps", fps }),
});
