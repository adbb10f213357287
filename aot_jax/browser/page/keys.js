// All keyboard shortcuts, with the descriptions shown in the dialog.

export const KEYS = [
  ["b", "brush"], ["e", "eraser"], ["p", "polygon"], ["r", "box"], ["c", "cut out"], ["f", "fill"], ["h", "move the picture"],
  ["g", "refine strokes along edges"], ["[", "smaller brush"], ["]", "larger brush"],
  ["Enter", "close the polygon"], ["Escape", "cancel the current shape"], ["Backspace", "remove the last point of the polygon"],
  ["Delete", "remove this object from this frame"], ["Ctrl+z", "undo"], ["Ctrl+y", "redo"], ["1 – 9", "choose an object"],
  ["n", "new object"], ["i", "name the object"], ["Shift+Delete", "remove the object from the whole video"], ["j", "go to a frame by number"], ["ArrowLeft", "previous frame"], ["ArrowRight", "next frame"], ["Ctrl+ArrowLeft", "ten frames back"],
  ["Ctrl+ArrowRight", "ten frames forward"], ["Shift+ArrowLeft", "previous given frame"], ["Shift+ArrowRight", "next given frame"],
  ["Home", "first frame"], ["End", "last frame"], ["k", "play or pause"], ["t", "track forward, or stop"],
  ["Shift+t", "track backward"], ["Shift+b", "track both ways"], ["d", "next depth"], ["s", "show frames as tracked, or not"], ["0", "whole frame"], ["+", "zoom in"], ["-", "zoom out"], ["Space", "hold to move the picture"],
  ["m", "masks on or off"], [",", "fainter masks"], [".", "stronger masks"], ["l", "load a mask"],
  ["x", "choose exports"], ["w", "write the exports"], ["z", "download the zip"], ["?", "this list"],
];

const SHOWN = { ArrowLeft: "←", ArrowRight: "→", Escape: "Esc" };

export function keyOf(event) {
  let key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (key === " ") key = "Space";
  const types = event.getModifierState("AltGraph"); // it types a character, such as [ on some keyboards
  if (event.altKey && !types && /^\w+$/.test(key)) return ""; // a shortcut of the browser
  if ((event.ctrlKey || event.metaKey) && !types) return event.shiftKey && key === "z" ? "Ctrl+y" : `Ctrl+${key}`;
  const shifted = event.shiftKey && /^(Arrow.*|Delete|[a-z])$/.test(key);
  return shifted ? `Shift+${key}` : key;
}

export function list(target) {
  target.replaceChildren(...KEYS.flatMap(([key, what]) => {
    const term = document.createElement("dt"), meaning = document.createElement("dd");
    for (const part of key.split(/(?<=.)\+/)) { // "+" itself stays whole
      const cap = document.createElement("kbd");
      cap.textContent = SHOWN[part] ?? (part.length === 1 ? part.toUpperCase() : part);
      term.append(cap, " ");
    }
    meaning.textContent = what;
    return [term, meaning];
  }));
}
