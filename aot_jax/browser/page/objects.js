// The list of objects: colour, id, name. An object's position in it, from 1, is its value in the page's masks.

// Colours that are distinct with any colour vision (Okabe and Ito, and a light grey); further objects use darker and lighter versions.
const BASE = [[86, 180, 233], [230, 159, 0], [0, 158, 115], [240, 228, 66], [204, 121, 167], [0, 114, 178], [213, 94, 0], [210, 210, 210]];

export function colour(place) {
  const base = BASE[(place - 1) % BASE.length], turn = Math.floor((place - 1) / BASE.length) % 3;
  return base.map((value) => (turn === 0 ? value : turn === 1 ? Math.round(value * 0.62) : Math.round(255 - (255 - value) * 0.55)));
}

// The text colour on a background [r, g, b], black or white, whichever contrasts more.
export function ink(background) {
  const [r, g, b] = background.map((value) => (value / 255) ** 2.2);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.18 ? "#000" : "#fff";
}

export class Objects {
  constructor(list, act) {
    this.list = list;
    this.act = act; // {rename(id, name), remove(id, name)}
    this.items = [];
    this.chosen = 1;
  }

  set(items) {
    // The server also answers with what the page shows already.
    const same = items.length === this.items.length && items.every(({ id, name }, i) => id === this.items[i].id && name === this.items[i].name);
    if (same) return;
    this.items = items;
    this.chosen = Math.min(Math.max(this.chosen, 1), Math.max(items.length, 1));
    this.render();
  }

  choose(place) {
    if (place < 1 || place > this.items.length) return;
    this.chosen = place;
    this.render();
  }

  render() {
    const focused = this.list.contains(document.activeElement) && document.activeElement;
    const { id } = focused ? focused.parentElement.dataset : {}, part = focused && [...focused.parentElement.children].indexOf(focused);
    this.list.replaceChildren(...this.items.map((item, i) => {
      const row = document.createElement("li");
      row.dataset.id = item.id;
      const swatch = document.createElement("button");
      swatch.type = "button";
      swatch.className = "swatch";
      swatch.style.background = `rgb(${colour(i + 1).join(" ")})`;
      swatch.style.color = ink(colour(i + 1));
      swatch.textContent = item.id;
      swatch.setAttribute("aria-label", `Draw object ${item.id}${item.name ? `, ${item.name}` : ""}`);
      swatch.title = i < 9 ? `Draw this object (${i + 1})` : "Draw this object";
      swatch.onclick = () => this.choose(i + 1);
      const name = document.createElement("input");
      name.className = "name";
      name.defaultValue = item.name;
      name.maxLength = 60;
      name.placeholder = `object ${item.id}`;
      name.dataset.id = item.id;
      name.setAttribute("aria-label", `Name of object ${item.id}`);
      name.onfocus = () => { this.chosen = i + 1; this.mark(); };
      name.onchange = () => {
        name.value = name.defaultValue = name.value.trim(); // as the server keeps it
        this.act.rename(item.id, name.value);
      };
      const remove = document.createElement("button");
      remove.type = "button";
      remove.textContent = "✕";
      remove.title = "Remove this object from the whole video";
      remove.setAttribute("aria-label", `Remove object ${item.id}`);
      remove.onclick = () => this.act.remove(item.id, item.name || `object ${item.id}`);
      row.append(swatch, name, remove);
      return row;
    }));
    this.mark();
    const again = id && this.list.querySelector(`li[data-id="${id}"]`)?.children[part];
    if (!again) return;
    if (focused.value !== focused.defaultValue) again.value = focused.value; // a name is half typed
    again.focus();
  }

  // Show which object is chosen.
  mark() {
    [...this.list.children].forEach((row, i) => {
      row.className = i + 1 === this.chosen ? "chosen" : "";
      row.firstChild.setAttribute("aria-pressed", i + 1 === this.chosen);
    });
  }
}
