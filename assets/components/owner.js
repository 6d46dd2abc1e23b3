// Which browser is this? Secrets that only this browser keeps, so that its runs stay its own after a refresh.
// They go to the server over the page's own connection and nowhere else; the server stores a hash of each.

const PLACE = "glassbox-owner";
const SECRET = /^[0-9a-f]{32}$/;
const MOST = 32;

function fresh() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

export default function ({ setStateValue, data }) {
  let secrets = [];
  try {
    secrets = (localStorage.getItem(PLACE) ?? "").split(" ").filter((each) => SECRET.test(each));
    if (!secrets.length) secrets.push(fresh()); // the first one owns all runs to come
    // What this visit began before it heard from here is owned by a secret of its own: that is kept, too.
    if (data.begun && !secrets.includes(data.begun)) secrets.push(data.begun);
    secrets.splice(1, secrets.length - MOST);
    localStorage.setItem(PLACE, secrets.join(" "));
  } catch {
    secrets = []; // storage is blocked: the server's own secret for this visit has to do
  }
  const token = secrets.join(" ");
  if (data.known !== token) setStateValue("token", token);
}
