// Shows open visits live. What comes from the box is put into the page as text, never as markup.
const $ = (id) => document.getElementById(id);
const SVG = "http://www.w3.org/2000/svg";
const MAX_FEED = 60;
const state = { token: null, site: null, visits: new Map(), cars: new Map(), staff: new Map(), epoch: null, pos: null, attempt: 0, socket: null };

function element(name, attributes = {}, text = "") {
  const svg = ["g", "rect", "polygon", "circle", "text"].includes(name);
  const node = svg ? document.createElementNS(SVG, name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  if (text) node.textContent = text;
  return node;
}

function takeToken() {
  const given = new URLSearchParams(location.hash.slice(1)).get("token");
  if (given) {
    sessionStorage.setItem("token", given);
    history.replaceState(null, "", location.pathname);
  }
  return given ?? sessionStorage.getItem("token");
}

async function ask(path, method = "GET") {
  const answer = await fetch(path, { method, headers: { Authorization: `Bearer ${state.token}` } });
  if (answer.ok) return answer.json();
  const problem = await answer.json().catch(() => ({}));
  throw Object.assign(new Error(problem.detail ?? `the box answered ${answer.status}`), { status: answer.status });
}

function show(connected, text) {
  $("connection").dataset.state = connected ? "on" : "off";
  $("connection").textContent = text;
}

function signIn(why = "") {
  sessionStorage.removeItem("token");
  state.token = null;
  state.socket?.close();
  $("floor").hidden = $("sign-out").hidden = true;
  $("sign-in").hidden = false;
  $("refused").textContent = why;
  show(false, "not connected");
  $("token").focus();
}

const zoneName = (id) => state.site?.zones.find((zone) => zone.id === id)?.name ?? (id || "on the way");
const carName = (id) => { const car = state.cars.get(id); return car ? `${car.make} ${car.model}` : id; };
const staffName = (id) => (id ? state.staff.get(id) ?? id : "");
const who = (visit) => visit.customerName ?? `Visitor ${String(visit.visitId).slice(0, 4)}`;

function since(time) {
  const seconds = Math.max(0, Math.round((Date.now() - Date.parse(time)) / 1000));
  return seconds < 60 ? `${seconds} s` : `${Math.floor(seconds / 60)} min`;
}

function drawPlan() {
  const [x0, y0, x1, y1] = state.site.bounds;
  const plan = $("plan");
  plan.setAttribute("viewBox", `${x0 - 0.5} ${-y1 - 0.5} ${x1 - x0 + 1} ${y1 - y0 + 1}`);
  plan.replaceChildren(element("rect", { class: "outline", x: x0, y: -y1, width: x1 - x0, height: y1 - y0, "stroke-width": 0.08 }));
  for (const zone of state.site.zones) {
    const points = zone.polygon.map(([x, y]) => `${x},${-y}`).join(" ");
    const middle = zone.polygon.reduce((sum, [x]) => sum + x / zone.polygon.length, 0);
    const top = Math.max(...zone.polygon.map(([, y]) => y));
    plan.append(element("polygon", { class: "zone", points, "stroke-width": 0.05 }));
    plan.append(element("text", { x: middle, y: 0.8 - top }, zone.name));
  }
  for (const spot of state.site.spots) plan.append(element("rect", { class: "spot", x: spot.x - 1, y: -spot.y - 0.5, width: 2, height: 1, rx: 0.3, "stroke-width": 0.06 }));
  for (const anchor of state.site.anchors) plan.append(element("circle", { class: "anchor", cx: anchor.x, cy: -anchor.y, r: 0.18 }));
  plan.append(element("g", { id: "dots" }));
}

function drawDots() {
  const dots = $("dots");
  for (const dot of [...dots.children]) if (!state.visits.has(dot.dataset.visit)) dot.remove();
  for (const visit of state.visits.values()) {
    let [blur, dot] = [...dots.children].filter((node) => node.dataset.visit === visit.visitId);
    if (!dot) {
      blur = element("circle", { class: "blur" });
      dot = element("circle", { class: "visitor", r: 0.32 });
      for (const node of [blur, dot]) { node.dataset.visit = visit.visitId; dots.append(node); }
    }
    blur.setAttribute("r", visit.sigma ?? 0);
    dot.classList.toggle("stale", Boolean(visit.stale));
    for (const node of [blur, dot]) node.style.transform = `translate(${visit.x}px, ${-visit.y}px)`;
  }
}

function drawVisits() {
  const rows = [...state.visits.values()].sort((a, b) => Date.parse(a.enteredAt) - Date.parse(b.enteredAt)).map((visit) => {
    const row = element("tr");
    const interests = [...visit.interests].map(carName).join(", ");
    for (const text of [who(visit), since(visit.enteredAt), zoneName(visit.zone), interests, staffName(visit.assignedTo)]) row.append(element("td", {}, text));
    return row;
  });
  $("visits").replaceChildren(...rows);
  $("count").textContent = rows.length ? `(${rows.length})` : "";
  $("nobody").hidden = rows.length > 0;
}

function remember(line) {
  const { x, y, zone } = line.location;
  const visit = { visitId: line.visitId, customerId: line.customerId, customerName: line.customerName, enteredAt: line.enteredAt ?? line.timestamp, interests: new Set(line.interests), assignedTo: line.assignedTo ?? null, x, y, zone };
  state.visits.set(line.visitId, visit);
}

const change = (id, how) => { const visit = state.visits.get(id); if (visit) how(visit); };

const facts = {
  CUSTOMER_ENTERED(p) { remember(p); return `${who(p)} came in`; },
  CUSTOMER_MOVED(p) { change(p.visitId, (visit) => Object.assign(visit, p.newLocation)); return `${who(p)}: ${zoneName(p.newLocation.zone)}`; },
  CUSTOMER_EXITED(p) { state.visits.delete(p.visitId); return `${who(p)} left after ${Math.round(p.duration / 60)} min`; },
  CUSTOMER_INTERESTED(p) { change(p.visitId, (visit) => visit.interests.add(p.vehicleId)); return `Interest in ${carName(p.vehicleId)}${p.kioskId ? ` at kiosk ${p.kioskId}` : ""}`; },
  HIGH_INTEREST_ALERT(p) { return `High interest in ${carName(p.vehicleId)}`; },
  CUSTOMER_NEAR_INTEREST(p) { return `${who(p)} stands near ${p.vehicles.map((car) => `${car.make} ${car.model}`).join(", ")}`; },
  CUSTOMER_ENGAGED(p) { return `${p.salesRepName ?? p.salesRepId} serves ${who(p)}`; },
  LEAD_ASSIGNED(p) { change(p.visitId, (visit) => { visit.assignedTo = p.salesRepId; }); return `${who(p)} is with ${p.salesRepName ?? p.salesRepId}`; },
  KIOSK_CALLED(p) { return `Kiosk ${p.kioskId} asks for a person`; },
  KIOSK_ANSWERED(p) { return `${p.salesRepName ?? p.salesRepId} goes to kiosk ${p.kioskId}`; },
  TEST_DRIVE_SCHEDULED(p) { return `Test drive of ${carName(p.vehicleId)} asked for`; },
  INVENTORY_UPDATED(p) { if (p.status === "removed") state.cars.delete(p.vehicleId); else state.cars.set(p.vehicleId, p); },
  INVENTORY_RESERVED(p) { state.cars.set(p.vehicleId, p); return `${carName(p.vehicleId)} is reserved`; },
  INVENTORY_RELEASED(p) { state.cars.set(p.vehicleId, p); return `${carName(p.vehicleId)} is free again`; },
  STAFF_CHANGED(p) { state.staff.set(p.staffId, p.name ?? p.staffId); },
  CUSTOMER_UPDATED(p) { for (const visit of state.visits.values()) if (visit.customerId === p.customerId) visit.customerName = p.customerName; },
};

function tell(text, time) {
  if (!text) return;
  const line = element("li");
  line.append(element("time", { datetime: time }, new Date(time).toLocaleTimeString()), text);
  $("feed").prepend(line);
  while ($("feed").children.length > MAX_FEED) $("feed").lastChild.remove();
}

function take(frame) {
  const p = frame.payload;
  if (!state.token) return;
  if (frame.pos !== undefined) { state.epoch = frame.epoch; state.pos = frame.pos; }
  switch (frame.type) {
    case "WELCOME":
      state.epoch = p.epoch;
      if (p.role === "kiosk") signIn("A kiosk's token does not open this page.");
      break;
    case "CURSOR": state.epoch = p.epoch; state.pos = p.pos; break;
    case "INITIAL_STATE":
      state.visits.clear(); state.cars.clear(); state.staff.clear();
      for (const car of p.vehicles) state.cars.set(car.vehicleId, car);
      for (const member of p.staff) state.staff.set(member.staffId, member.name ?? member.staffId);
      p.customers.forEach(remember);
      break;
    case "RECENT_ACTIVITY":
      $("feed").replaceChildren();
      for (const event of p.events) if (event.type !== "CUSTOMER_UPDATED") tell(said(event), event.payload.timestamp ?? new Date().toISOString());
      break;
    case "POSITIONS":
      for (const item of p.items) change(item.visitId, (visit) => Object.assign(visit, item));
      drawDots();
      return;
    case "STALE": show(!p.since, p.since ? "connected, but no receiver is heard" : "live"); return;
    case "ERROR": show(true, p.message); return;
    default: if (facts[frame.type]) tell(facts[frame.type](p), p.timestamp ?? new Date().toISOString());
  }
  drawVisits(); drawDots();
}

// Old events are told, but change nothing: the picture is newer than they are.
function said(event) {
  const [visits, cars, staff] = [state.visits, state.cars, state.staff];
  [state.visits, state.cars, state.staff] = [new Map(), new Map(cars), new Map(staff)];
  const text = facts[event.type]?.(event.payload);
  [state.visits, state.cars, state.staff] = [visits, cars, staff];
  return text;
}

async function connect() {
  let ticket;
  try {
    state.site ??= await ask("/api/v1/site");
    ticket = (await ask("/api/v1/ticket", "POST")).ticket;
  } catch (error) {
    if (error.status === 401 || error.status === 403) return signIn(error.message);
    return again();
  }
  $("name").textContent = state.site.name;
  $("sign-in").hidden = true;
  $("floor").hidden = $("sign-out").hidden = false;
  if (!$("dots")) drawPlan();
  const resume = state.pos === null ? "" : `&resume=${state.epoch}:${state.pos}`;
  const scheme = location.protocol === "https:" ? "wss" : "ws";
  const socket = new WebSocket(`${scheme}://${location.host}/ws?ticket=${ticket}${resume}`, ["showfloor.v1"]);
  state.socket = socket;
  socket.onopen = () => { state.attempt = 0; show(true, "live"); };
  socket.onmessage = (message) => take(JSON.parse(message.data));
  socket.onclose = (event) => { if (event.code === 1008) signIn(event.reason); else if (state.token) again(); };
}

function again() {
  const wait = Math.min(30, 2 ** state.attempt++) * (0.75 + Math.random() / 4);
  show(false, `connection lost; next attempt in ${Math.ceil(wait)} s. What you see is old`);
  setTimeout(connect, wait * 1000);
}

$("sign-in").addEventListener("submit", (event) => {
  event.preventDefault();
  state.token = $("token").value.trim();
  sessionStorage.setItem("token", state.token);
  $("token").value = "";
  connect();
});
$("sign-out").addEventListener("click", () => signIn());
setInterval(() => { if (!$("floor").hidden) drawVisits(); }, 5000);
state.token = takeToken();
if (state.token) connect(); else signIn();
