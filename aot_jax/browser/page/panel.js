// Everything around the picture: notices, progress, and which controls are enabled.

const NOTICE = 6000, ERROR = 15000; // how long a notice stays, in milliseconds
const $ = (id) => document.getElementById(id);

export function notice(text, level = "info") {
  for (const old of [...$("notices").children]) if (old.textContent === text) old.remove();
  const item = document.createElement("li");
  item.className = level;
  item.textContent = text;
  $("notices").append(item);
  setTimeout(() => item.remove(), level === "error" ? ERROR : NOTICE);
}

// Await work; an error becomes a notice, and the result null.
export async function attempt(work) {
  try {
    return await work();
  } catch (error) {
    notice(error.message, "error");
    return null;
  }
}

export function setVideo({ video, network, folder }) {
  $("title").textContent = video.name;
  document.title = `${video.name} – aot-jax`;
  $("network").textContent = network;
  $("folder").textContent = folder;
  setCount(video.count);
}

export function setCount(count) {
  $("count").textContent = `of ${count}`;
  $("frame").max = count - 1;
}

export function setProgress({ index, speed, left }) {
  $("progress").textContent = `frame ${index}: ${speed.toFixed(1)} frames a second, ${clock(left)} left`;
}

export function setTool(tool) {
  for (const button of document.querySelectorAll("nav [data-tool]")) button.setAttribute("aria-pressed", button.dataset.tool === tool);
}

export function setRunning(now) {
  $("stop").hidden = !now;
  $("progress").ariaLive = now ? "off" : "polite"; // screen readers need not read the progress of every frame
  for (const button of document.querySelectorAll("[data-run]")) button.disabled = now;
}

export function setDepths(depths) {
  $("speed").hidden = depths.length < 2;
  $("depth").replaceChildren(...depths.map((n) => new Option(n)));
}

// Show the depth, and the frame rate that is reached by changing the depth; 0: no such rate.
export function setDepth({ depth, fps }) {
  $("depth").value = depth;
  $("fps").value = fps || "";
}

export function setFormats(formats) {
  const chosen = chosenFormats();
  $("exports").replaceChildren($("exports").firstElementChild, ...formats.map((name) => {
    const label = document.createElement("label"), box = document.createElement("input");
    box.type = "checkbox"; box.value = name; box.checked = chosen.includes(name);
    label.append(box, ` ${name}`);
    return label;
  }));
}

export function chosenFormats() {
  return [...document.querySelectorAll("#exports input:checked")].map((box) => box.value);
}

function clock(seconds) {
  const s = Math.round(seconds), h = Math.floor(s / 3600), m = Math.floor(s / 60) % 60;
  return h ? `${h} h ${m} min` : m ? `${m} min ${s % 60} s` : `${s} s`;
}
