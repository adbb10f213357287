// The files of a drop, also of dropped folders.

// Resolves to [{path, file}]; `path` holds the names of folders, separated by "/".
export async function dropped(data) {
  // All entries are asked for at once, since the drop's data is empty after the first wait.
  const items = [...data.items].filter((item) => item.kind === "file").map((item) => [item.webkitGetAsEntry?.(), item.getAsFile()]);
  return (await Promise.all(items.map(([entry, file]) => (entry ? inside(entry, "") : [named(file)])))).flat();
}

export const named = (file) => ({ path: file.webkitRelativePath || file.name, file });

async function inside(entry, folder) {
  const path = folder + entry.name;
  if (entry.isFile) return [{ path, file: await new Promise((done, failed) => entry.file(done, failed)) }];
  const reader = entry.createReader(), found = [];
  for (;;) {
    const some = await new Promise((done, failed) => reader.readEntries(done, failed)); // a part of them; none at the end
    if (!some.length) break;
    found.push(...some);
  }
  return (await Promise.all(found.map((child) => inside(child, `${path}/`)))).flat();
}
