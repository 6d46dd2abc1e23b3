// Which browser is this? A secret that only this browser keeps, so that its runs stay its own after a refresh.
// It goes to the server over the page's own connection and nowhere else; the server stores a hash of it.

const PLACE = "glassbox-owner";
const SECRET = /^[0-9a-f]{32}$/;

function fresh() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

export default function ({ setStateValue, data }) {
  let token = null;
  try {
    token = localStorage.getItem(PLACE);
    if (!SECRET.test(token ?? "")) {
      token = fresh();
      localStorage.setItem(PLACE, token);
    }
  } catch {
    return; // storage is blocked: the server's own token for this visit has to do
  }
  if (data.known !== token) setStateValue("token", token);
}
