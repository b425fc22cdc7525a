"use strict";
(() => {
  const MOST = 100;
  const FEW = 7; // columns that fit beside each other with their names across
  const data = JSON.parse(document.getElementById("data").textContent);
  const byId = (id) => document.getElementById(id);
  const make = (name, text, attributes = {}) => {
    const element = document.createElement(name);
    if (text !== undefined) element.textContent = text;
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    return element;
  };
  const draw = (name, attributes = {}, text) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    if (text !== undefined) element.textContent = text;
    return element;
  };
  const short = (text) => (text.length > 80 ? `${text.slice(0, 79)}…` : text);
  const unique = (values) => [...new Set(values)];
  const chosen = { namespace: "", network: "", port: "", label: "", outside: false, single: false };

  // Whether a packet from one place gets to another: one wire, one family, and between two networks one subnet.
  const connected = (from, to) => {
    if (!from.sends || from.family !== to.family) return false;
    if (!from.network || !to.network) return Boolean(from.network || to.network);
    if (from.wire !== to.wire) return false;
    return from.network === to.network || to.within.includes(from.subnet);
  };
  const OUTSIDE = { allowed: true, standing: "outside", would: false, policies: [], audits: [], rule: "", custom: false };
  const LOOPBACK = { allowed: true, standing: "loopback", would: false, policies: [], audits: [], rule: "", custom: false };
  const reason = (table, rules, signature, spec) =>
    rules === undefined ? OUTSIDE : data.reasons[table[`${rules},${signature}`][spec]];
  const asked = (end) => (chosen.port !== "" ? [Number(chosen.port)] : end.ports);

  const ways = (source, destination) => {
    const found = [];
    const own = new Set(source.places.map((place) => place.address).filter(Boolean));
    for (const from of source.places) {
      for (const to of destination.places) {
        const network = to.network || from.network;
        if (!connected(from, to) || (chosen.network && network !== chosen.network)) continue;
        for (const spec of asked(destination)) {
          const loopback = own.has(to.address);
          const egress = loopback ? LOOPBACK : reason(data.egress, from.egress, to.signature, spec);
          const ingress = loopback ? LOOPBACK : reason(data.ingress, to.ingress, from.signature, spec);
          const allowed = egress.allowed && ingress.allowed;
          found.push({ from, to, network, spec, egress, ingress, allowed, would: allowed && (egress.would || ingress.would) });
        }
      }
    }
    return found;
  };
  const between = (row, column) => {
    if (row !== column) return ways(row.ends[0], column.ends[0]);
    return row.ends.length > 1 ? ways(row.ends[0], row.ends[1]) : [];
  };
  const verdict = (found) => {
    if (!found.length) return ["none", "·", "no common network"];
    if (found.every((way) => way.allowed) && found.some((way) => way.would)) return ["audit", "◌", "allowed, would deny (audit) on some ports or ways"];
    if (found.every((way) => way.allowed)) return ["allowed", "✓", "allowed"];
    if (found.every((way) => !way.allowed)) return ["denied", "✗", "denied"];
    return ["partly", "±", "allowed on some ports or ways"];
  };

  const matches = (end) => {
    if (end.outside) return chosen.outside;
    if (chosen.namespace && end.namespace !== chosen.namespace) return false;
    if (chosen.network && !end.places.some((place) => place.network === chosen.network)) return false;
    const text = chosen.label.trim();
    return !text || end.name.includes(text) || end.labels.some((label) => label.includes(text));
  };
  const groups = () => {
    const found = new Map();
    data.ends.filter(matches).forEach((end, number) => {
      const key = chosen.single ? `end ${number}` : `group ${end.group}`;
      if (!found.has(key)) found.set(key, { ends: [] });
      found.get(key).ends.push(end);
    });
    for (const group of found.values()) {
      const more = group.ends.length - 1;
      group.name = group.ends[0].name + (more ? ` (+${more})` : "");
      group.members = group.ends.map((end) => end.name).join(", ");
    }
    return [...found.values()];
  };

  const sentence = (side, allowed) => {
    if (side.standing === "outside") return "outside of the cluster, nothing is enforced there";
    if (side.standing === "loopback") return "allowed, a pod reaches its own address through lo";
    if (side.standing === "unenforced") return "allowed, the interface is not enforced";
    if (side.standing === "open") return "allowed, no policy isolates it";
    if (side.standing === "audited") {
      const would = side.would ? "would deny (audit), no rule allows it" : `${side.rule} would allow it`;
      const later = side.custom ? "; once that is enforced, custom rules come first and may decide otherwise" : "";
      return `allowed, ${would}; in audit mode: ${side.audits.join(", ")}${later}`;
    }
    const by = side.rule ? `allowed by ${side.rule}` : allowed ? "allowed" : "denied, no rule allows it";
    const custom = side.custom ? "; custom rules come first and may decide otherwise" : "";
    const audits = side.audits.length ? `; in audit mode, without effect here: ${side.audits.join(", ")}` : "";
    return `${by}; isolated by ${side.policies.join(", ")}${audits}${custom}`;
  };
  const place = (end, at) => (at.network ? `${end.name} ${at.interface} ${at.address || "address unknown"}` : end.name);
  const explain = (row, column) => {
    const found = between(row, column);
    const destination = row === column ? column.ends[1] : column.ends[0];
    const table = make("table");
    const head = table.createTHead().insertRow();
    for (const text of ["Port", "Network", "Verdict", "Egress", "Ingress"]) head.append(make("th", text, { scope: "col" }));
    const body = table.createTBody();
    for (const way of found) {
      const line = body.insertRow();
      line.append(
        make("td", data.specs[way.spec]),
        make("td", way.network),
        make("td", way.would ? "allowed, would deny (audit)" : way.allowed ? "allowed" : "denied", { class: way.would ? "audit" : way.allowed ? "allowed" : "denied" }),
        make("td", `${place(row.ends[0], way.from)}: ${sentence(way.egress, way.egress.allowed)}`),
        make("td", `${place(destination, way.to)}: ${sentence(way.ingress, way.ingress.allowed)}`),
      );
    }
    const heading = make("h2", `${row.name} → ${column.name}`);
    const members = [row, column].filter((each) => each.ends.length > 1);
    const notes = unique(members).map((each) => make("p", `${each.name}: ${each.members}`));
    const content = found.length ? table : make("p", "No common network: there is no way between them.");
    byId("reasons").replaceChildren(heading, ...notes, content);
  };

  const showMatrix = (all) => {
    const shown = all.slice(0, MOST);
    const table = make("table", undefined, { role: "grid", "aria-label": "Who reaches whom", class: shown.length > FEW ? "dense" : "" });
    const head = table.createTHead().insertRow();
    head.append(make("td", "from \\ to"));
    for (const column of shown) head.append(make("th", short(column.name), { scope: "col", title: column.members }));
    const body = table.createTBody();
    shown.forEach((row, y) => {
      const line = body.insertRow();
      line.append(make("th", short(row.name), { scope: "row", title: row.members }));
      shown.forEach((column, x) => {
        const [kind, sign, words] = verdict(between(row, column));
        const label = `${row.name} to ${column.name}: ${words}`;
        const cell = make("td", sign, { class: kind, role: "gridcell", tabindex: x || y ? "-1" : "0", "aria-label": label });
        cell.addEventListener("click", () => choose(table, row, column, cell));
        cell.addEventListener("keydown", (event) => move(table, event, x, y, () => choose(table, row, column, cell)));
        line.append(cell);
      });
    });
    byId("grid").replaceChildren(shown.length ? table : make("p", "Nothing matches the filters."));
    byId("reasons").replaceChildren();
  };
  const focusOn = (table, cell) => {
    for (const other of table.querySelectorAll('td[tabindex="0"]')) other.setAttribute("tabindex", "-1");
    cell.setAttribute("tabindex", "0");
    cell.focus();
  };
  const choose = (table, row, column, cell) => {
    for (const other of table.querySelectorAll("[aria-selected]")) other.removeAttribute("aria-selected");
    cell.setAttribute("aria-selected", "true");
    focusOn(table, cell);
    explain(row, column);
  };
  const STEPS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  const move = (table, event, x, y, act) => {
    if (event.key === "Enter" || event.key === " ") act();
    const step = STEPS[event.key];
    const cell = step && table.tBodies[0].rows[y + step[1]]?.cells[x + step[0] + 1];
    if (cell?.matches("td")) focusOn(table, cell);
    if (step || event.key === "Enter" || event.key === " ") event.preventDefault();
  };

  const showGraph = (all) => {
    const shown = all.slice(0, MOST);
    const edges = [];
    for (const from of shown) {
      for (const to of shown) {
        const open = from === to ? [] : between(from, to).filter((way) => way.allowed);
        if (open.length) edges.push({ from, to, ports: unique(open.map((way) => `${data.specs[way.spec]} on ${way.network}`)) });
      }
    }
    const radius = Math.max(110, shown.length * 9);
    const isDense = shown.length > FEW; // names beside each other collide: they point outwards
    const [width, height] = [2 * radius + 460, 2 * radius + (isDense ? 460 : 90)];
    const picture = draw("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "group", "aria-label": "Allowed pairs as arrows" });
    const marker = draw("marker", { id: "arrow", viewBox: "0 0 8 8", refX: 8, refY: 4, markerWidth: 7, markerHeight: 7, orient: "auto" });
    marker.append(draw("path", { d: "M0 0L8 4L0 8z" }));
    picture.append(marker);
    const at = new Map(shown.map((each, number) => {
      const angle = (2 * Math.PI * number) / shown.length;
      return [each, { x: width / 2 + radius * Math.cos(angle), y: height / 2 + radius * Math.sin(angle), angle }];
    }));
    for (const edge of edges) {
      const [a, b] = [at.get(edge.from), at.get(edge.to)];
      const length = Math.hypot(b.x - a.x, b.y - a.y) || 1;
      const [dx, dy] = [((b.x - a.x) / length) * 11, ((b.y - a.y) / length) * 11];
      edge.line = draw("path", { d: `M${a.x + dx} ${a.y + dy}Q${(a.x + b.x) / 2 - dy} ${(a.y + b.y) / 2 + dx} ${b.x - dx} ${b.y - dy}`, "marker-end": "url(#arrow)" });
      edge.line.append(draw("title", {}, `${edge.from.name} → ${edge.to.name}: ${edge.ports.join(", ")}`));
      picture.append(edge.line);
    }
    for (const each of shown) {
      const { x, y, angle } = at.get(each);
      const left = Math.cos(angle) < -0.01;
      const node = draw("g", { tabindex: 0, role: "button", "aria-pressed": "false", "aria-label": `${each.name}: show its pairs alone`, class: each.ends[0].outside ? "outside" : "" });
      const turned = isDense ? { transform: `rotate(${(angle * 180) / Math.PI + (left ? 180 : 0)} ${x} ${y})` } : {};
      const text = { x: x + (left ? -14 : 14), y: y + 4, "text-anchor": left ? "end" : "start", ...turned };
      node.append(draw("circle", { cx: x, cy: y, r: 9 }), draw("text", text, short(each.name)));
      const act = () => {
        const pressed = node.getAttribute("aria-pressed") !== "true";
        for (const other of picture.querySelectorAll("g")) {
          other.setAttribute("aria-pressed", String(other === node && pressed));
          other.classList.toggle("chosen", other === node && pressed);
        }
        const own = edges.filter((edge) => !pressed || edge.from === each || edge.to === each);
        for (const edge of edges) edge.line.classList.toggle("dim", !own.includes(edge));
        list(own);
      };
      node.addEventListener("click", act);
      node.addEventListener("keydown", (event) => {
        if (event.key !== "Enter" && event.key !== " ") return;
        event.preventDefault();
        act();
      });
      picture.append(node);
    }
    byId("drawing").replaceChildren(picture);
    list(edges);
  };
  const list = (edges) => {
    const items = make("ul");
    for (const edge of edges) items.append(make("li", `${edge.from.name} → ${edge.to.name}: ${edge.ports.join(", ")}`));
    byId("pairs").replaceChildren(edges.length ? items : make("p", "None."));
  };

  const listed = (heading, note, lines) => {
    const items = make("ul");
    for (const line of lines) items.append(make("li", line));
    return [make("h2", `${heading} (${lines.length})`), make("p", note), lines.length ? items : make("p", "None.")];
  };
  const standings = (table) => new Map(Object.entries(table).map(([key, row]) => [Number(key.split(",")[0]), data.reasons[row[0]].standing]));
  const standing = { egress: standings(data.egress), ingress: standings(data.ingress) };
  const isOpen = (side, place) => ["open", "audited", "unenforced"].includes(standing[side].get(place[side]));
  const showExposure = () => {
    const pods = data.ends.filter((end) => !end.outside && matches(end));
    const outside = data.ends.filter((end) => end.outside);
    const bare = (side) =>
      pods.flatMap((end) => {
        const at = end.places.filter((each) => (!chosen.network || each.network === chosen.network) && isOpen(side, each));
        return unique(at.map((each) => each.network)).map((network) => `${end.name} on ${network}`);
      });
    const reached = pods.flatMap((end) =>
      outside.flatMap((block) => {
        const open = ways(block, end).filter((way) => way.allowed);
        const ports = unique(open.map((way) => `${data.specs[way.spec]} on ${way.network}`));
        return ports.length ? [`${end.name} from ${block.name}: ${ports.join(", ")}`] : [];
      }),
    );
    byId("exposure").replaceChildren(
      ...listed("No policy protects ingress", "Everything on the network reaches these pods.", bare("ingress")),
      ...listed("No policy limits egress", "These pods reach everything on the network, as far as the others let them in.", bare("egress")),
      ...listed("Reachable from outside of the cluster", "From addresses that are no pod's, if they are on the network or routed to it.", reached),
    );
  };

  const fill = (id, first, values) => {
    byId(id).append(new Option(first, ""), ...values.map(([value, text]) => new Option(text, value)));
  };
  const VIEWS = { matrix: showMatrix, graph: showGraph, exposure: showExposure };
  const current = () => byId("tabs").querySelector('[aria-selected="true"]').getAttribute("aria-controls");
  const show = () => {
    const all = groups();
    const pods = data.ends.filter((end) => !end.outside && matches(end)).length;
    const cut = all.length > MOST ? ` The first ${MOST} are shown: use the filters for the others.` : "";
    byId("summary").textContent = `${pods} pods in ${all.filter((each) => !each.ends[0].outside).length} rows; pods of a namespace with equal answers share one.${cut}`;
    VIEWS[current()](all);
  };
  const open = (tab) => {
    for (const other of byId("tabs").children) {
      const selected = other === tab;
      other.setAttribute("aria-selected", String(selected));
      other.setAttribute("tabindex", selected ? "0" : "-1");
      byId(other.getAttribute("aria-controls")).hidden = !selected;
    }
    show();
  };
  const tabs = [...byId("tabs").children];
  tabs.forEach((tab, number) => {
    tab.addEventListener("click", () => open(tab));
    tab.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (!step) return;
      const next = tabs[(number + step + tabs.length) % tabs.length];
      next.focus();
      open(next);
    });
  });
  fill("namespace", "all", unique(data.ends.filter((end) => !end.outside).map((end) => end.namespace)).sort().map((each) => [each, each]));
  fill("network", "all", unique(data.ends.flatMap((end) => end.places.map((each) => each.network)).filter(Boolean)).sort().map((each) => [each, each]));
  fill("port", "as declared", data.specs.map((each, number) => [String(number), each]));
  for (const id of Object.keys(chosen)) {
    byId(id).addEventListener("input", (event) => {
      chosen[id] = event.target.type === "checkbox" ? event.target.checked : event.target.value;
      show();
    });
  }
  byId("filters").addEventListener("submit", (event) => event.preventDefault());
  show();
})();
