// Turns keys, buttons and dropped files into calls of the page's functions.

import { dropped, named } from "./drop.js";
import { keyOf, list } from "./keys.js";

const $ = (id) => document.getElementById(id);
// Buttons by id, each with the key that does the same.
const BUTTONS = {
  help: "?", undo: "Ctrl+z", redo: "Ctrl+y", clear: "Delete", refine: "g", add: "n", fit: "0", "zoom-in": "+", "zoom-out": "-",
  play: "k", previous: "ArrowLeft", next: "ArrowRight", "previous-given": "Shift+ArrowLeft", "next-given": "Shift+ArrowRight",
};
const TEXT = "input:not([type=range]):not([type=checkbox]), select, dialog, dialog *"; // elements that take all keys themselves
// Keys that a control handles itself, by the control's type.
const OWN = { button: ["Enter", "Space"], file: ["Enter", "Space"], checkbox: ["Space"], range: ["ArrowLeft", "ArrowRight", "Home", "End"] };
const JUMPS = { ArrowLeft: -1, ArrowRight: 1, ArrowDown: -1, ArrowUp: 1, PageDown: -10, PageUp: 10, Home: -Infinity, End: Infinity };

// page: {ready, act, hold, chooseObject, chooseTool, run, stop, brush, opacity, seek, jump, depth, fps, load, write}, functions
// except for `act`, which maps the keys to functions.
export function connect(page) {
  addEventListener("keydown", (event) => {
    const key = keyOf(event);
    if (key === "Escape" && event.target.matches("input, select")) { $("view").focus(); return; }
    if (!page.ready() || event.target.matches(TEXT) || OWN[event.target.type]?.includes(key)) return;
    if (key === "Space") { page.hold(true); event.preventDefault(); return; }
    const action = /^[1-9]$/.test(key) ? () => page.chooseObject(Number(key)) : page.act[key];
    if (action) { event.preventDefault(); action(); }
  });
  addEventListener("keyup", (event) => { if (event.key === " " && page.ready()) page.hold(false); });
  $("timeline").addEventListener("keydown", (event) => {
    const jump = JUMPS[event.key];
    if (jump === undefined || event.ctrlKey || event.shiftKey) return;
    event.preventDefault();
    event.stopPropagation();
    page.jump(jump);
  });

  for (const [id, key] of Object.entries(BUTTONS)) $(id).onclick = () => page.ready() && page.act[key]();
  for (const button of document.querySelectorAll("nav [data-tool]")) button.onclick = () => page.chooseTool(button.dataset.tool);
  for (const button of document.querySelectorAll("[data-run]")) button.onclick = () => page.run(button.dataset.run);
  $("stop").onclick = () => page.stop();
  $("size").oninput = (event) => page.brush(Number(event.target.value));
  $("opacity").oninput = (event) => page.opacity(event.target.value / 100);
  $("frame").onchange = (event) => page.seek(Number(event.target.value));
  $("depth").onchange = (event) => page.depth(Number(event.target.value));
  $("fps").onchange = (event) => page.fps(Number(event.target.value) || 0);
  $("file").onchange = (event) => { if (event.target.files.length) page.load([...event.target.files].map(named)); event.target.value = ""; };
  $("save").onclick = () => page.write(false);
  $("zip").onclick = () => page.write(true);

  for (const [name, inside] of [["dragenter", true], ["dragover", true], ["dragleave", false], ["drop", false]]) {
    addEventListener(name, (event) => {
      if (!event.dataTransfer.types.includes("Files")) return; // the browser handles dragged text
      event.preventDefault();
      $("drop").hidden = !inside;
      if (name === "drop") page.load(dropped(event.dataTransfer));
    });
  }
  list($("key-list"));
}
