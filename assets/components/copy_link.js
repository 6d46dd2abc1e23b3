// "Copy link": a click asks the server for the link, which knows the controls as they are now, and puts it on the
// clipboard when it comes. A browser that keeps the clipboard to itself, as it does on a page without https, gets a
// field from which the link can be copied by hand.

const READABLE_FOR = 2500; // milliseconds

async function copied(link, field) {
  try {
    await navigator.clipboard.writeText(link);
    return true;
  } catch {
    field.select();
    return document.execCommand("copy");
  }
}

export default function ({ data, parentElement, setTriggerValue }) {
  const button = parentElement.querySelector("button");
  const label = parentElement.querySelector(".label");
  const field = parentElement.querySelector("input");
  const number = String(data.number);
  button.onclick = () => {
    button.dataset.waits = "yes";
    setTriggerValue("asked", true);
  };
  if (button.dataset.waits !== "yes" || button.dataset.number === number) {
    button.dataset.number = number;
    return;
  }
  button.dataset.number = number;
  button.dataset.waits = "no";
  field.value = data.link;
  field.hidden = false;
  copied(data.link, field).then((done) => {
    field.hidden = done;
    label.textContent = done ? "Copied" : "Copy it here";
    if (!done) field.select();
    setTimeout(() => (label.textContent = "Copy link"), READABLE_FOR);
  });
}
