// The keys of a presenter: right and Page Down go on along the thread, left and Page Up go back, Escape leaves; they are
// also what a clicker sends. R goes to the presenter's own run. A key that belongs to somebody else is left to them: to
// a field that is being typed in, to a slider, a choice or a chart that has the focus, to an open popover, and to any
// combination with a modifier.

const KEYS = { ArrowRight: "next", PageDown: "next", ArrowLeft: "previous", PageUp: "previous", Escape: "leave", r: "run" };
const OWN_KEYS =
  "input, textarea, select, [contenteditable=''], [contenteditable=true], [role=slider], [role=spinbutton], " +
  "[role=textbox], [role=combobox], [role=listbox], [role=option], [role=radio], [role=radiogroup], [role=tab], " +
  "[role=menu], [role=menuitem], [role=grid], [role=gridcell], [role=dialog], [role=group][tabindex], [data-own-keys]";

function belongsToSomebodyElse(event) {
  if (event.defaultPrevented || event.isComposing) return true;
  if (event.ctrlKey || event.altKey || event.metaKey || event.shiftKey) return true;
  // composedPath sees into the shadow roots of components, where event.target does not
  return event.composedPath().some((place) => place instanceof Element && place.matches(OWN_KEYS));
}

export default function ({ parentElement, setTriggerValue }) {
  const place = parentElement.querySelector("i");
  let sent = false; // the page is on its way: a second press before it is there, or has answered, goes nowhere
  const press = (event) => {
    const walk = KEYS[event.key];
    if (!walk || sent || belongsToSomebodyElse(event)) return;
    event.preventDefault();
    const leads = walk === "next" || walk === "previous"; // to a lesson: what else is called like a key is no link
    const link = leads && document.querySelector(`.st-key-present_${walk} a[href]:not([disabled])`);
    if (leads && !link) return; // there is no lesson before the first, or after the last
    sent = true;
    place.removeAttribute("aria-keyshortcuts");
    if (link) link.click();
    else setTriggerValue("walk", walk);
  };
  document.addEventListener("keydown", press);
  place.setAttribute("aria-keyshortcuts", Object.keys(KEYS).join(" ")); // who waits for this is heard
  return () => document.removeEventListener("keydown", press);
}
