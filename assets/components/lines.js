// Source lines, each with what it made when it ran. A new run of them lights them one after the other, once: drawn again
// for any other reason they stay as they are.

function row({ code, made }, number) {
  const element = document.createElement("li");
  element.style.setProperty("--line", number);
  const source = document.createElement("code");
  source.textContent = code;
  const result = document.createElement("span");
  result.className = "made";
  result.textContent = made;
  if (made) element.className = "ran";
  element.append(source, result);
  return element;
}

export default function ({ data, parentElement }) {
  const root = parentElement.querySelector(".lines");
  if (root.dataset.run === data.run) return;
  root.dataset.run = data.run;
  root.setAttribute("aria-label", data.label);
  root.classList.remove("playing");
  root.replaceChildren(...data.lines.map(row));
  void root.offsetWidth; // lets the same animation begin anew
  root.classList.add("playing");
}
