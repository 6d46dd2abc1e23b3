// A row of chips: pieces of text with a colour, a small note below and a longer one on hover.
// Everything a student typed arrives as data and leaves as textContent: nothing of it is ever read as HTML.

const MARKS = { " ": "·", "\n": "⏎\n", "\t": "⇥", "\r": "␍" };

function withMarks(text) {
  return Array.from(text, (letter) => MARKS[letter] ?? letter).join("");
}

function chip(piece, marks) {
  const element = document.createElement("span");
  element.className = `chip ${piece.kind ?? ""}`;
  if (piece.colour) element.style.setProperty("--chip", piece.colour);
  if (piece.title) element.title = piece.title;
  const text = document.createElement("span");
  text.className = "text";
  text.textContent = marks ? withMarks(piece.text) : piece.text;
  element.append(text);
  if (piece.note) {
    const note = document.createElement("span");
    note.className = "note";
    note.textContent = piece.note;
    element.append(note);
  }
  return element;
}

export default function ({ data, parentElement }) {
  const root = parentElement.querySelector(".chips");
  root.className = `chips ${data.layout}`;
  root.setAttribute("aria-label", data.label);
  root.replaceChildren(...data.pieces.map((piece) => chip(piece, data.marks)));
}
