// HTTP requests to the server, and the WebSocket for its messages.
// URLs are relative to <base>, which contains the token.

const RETRY = 1000; // delay between attempts to reconnect, in milliseconds

// Id of this window, by which the server recognises it when it reconnects.
const client = (sessionStorage.client ??= crypto.randomUUID?.() ?? String(Math.random()).slice(2));

async function ask(path, options) {
  const answer = await fetch(path, options);
  if (!answer.ok) throw new Error((await answer.text()) || `${answer.status} ${answer.statusText}`);
  return answer;
}

export async function getFrame(index) {
  const blob = await (await ask(`frame/${index}`)).blob();
  return createImageBitmap(blob);
}

// A mask: one byte per pixel, row by row; 0 background, else the position of the object in the list, from 1.
export async function getMask(index) {
  return new Uint8Array(await (await ask(`mask/${index}`)).arrayBuffer());
}

async function packed(bytes) {
  const stream = new Blob([bytes]).stream().pipeThrough(new CompressionStream("gzip"));
  return new Response(stream).blob();
}

export async function putMask(index, mask) {
  await ask(`mask/${index}`, { method: "PUT", body: await packed(mask) });
}

export async function cut(index, object, box, mask) {
  const place = box ? box.join(",") : "";
  const answer = await ask(`cut/${index}?object=${object}&box=${place}`, { method: "POST", body: await packed(mask) });
  return new Uint8Array(await answer.arrayBuffer());
}

// The body is all mask files concatenated; the query holds their names and sizes.
export async function loadMask(index, files) {
  const about = JSON.stringify(files.map(({ path, file }) => [path, file.size]));
  const path = `load/${index}?files=${encodeURIComponent(about)}`;
  return (await ask(path, { method: "POST", body: new Blob(files.map(({ file }) => file)) })).json();
}

export async function exportTo(formats, zip) {
  return (await ask("export", { method: "POST", body: JSON.stringify({ formats, zip }) })).json();
}

export class Link {
  constructor(receive, changed) {
    this.receive = receive;
    this.changed = changed;
    this.open();
  }

  open() {
    const address = new URL(`ws?client=${client}`, document.baseURI);
    address.protocol = address.protocol.replace("http", "ws");
    this.socket = new WebSocket(address);
    this.socket.onopen = () => this.changed(true);
    this.socket.onmessage = (event) => this.receive(JSON.parse(event.data));
    this.socket.onclose = (event) => {
      if (event.code === 4409) { // another window has this video open
        this.receive({ type: "held", text: event.reason });
        return;
      }
      this.changed(false);
      setTimeout(() => this.open(), RETRY);
    };
  }

  send(message) {
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message));
  }
}
