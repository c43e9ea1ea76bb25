const $ = id => document.getElementById(id), rates = [], open = [];
let last = JSON.parse($("state").textContent);
const size = n => { let u = 0; while (n >= 1024 && u < 4) { n /= 1024; u++; } return (u ? n.toFixed(1) : n) + " " + ["B", "KiB", "MiB", "GiB", "TiB"][u]; };
const time = s => s < 3600 ? `${s / 60 | 0} min ${String(s % 60 | 0).padStart(2, "0")} s` : s < 86400 ? `${s / 3600 | 0} h ${String(s / 60 % 60 | 0).padStart(2, "0")} min` : `${s / 86400 | 0} d ${String(s / 3600 % 24 | 0).padStart(2, "0")} h`;
const draw = (id, list) => { const max = Math.max(1, ...list); $(id).setAttribute("points", list.map((v, i) => `${120 - list.length + 1 + i},${98 - 94 * v / max}`).join(" ")); };
const keep = (list, v) => { list.push(v); if (list.length > 121) list.shift(); };
function show(s) {
const used = s.memory_total - s.memory_free, t = (s.uptime_ms - last.uptime_ms) / 1000;
$("uptime").textContent = time(s.uptime_ms / 1000);
$("requests").textContent = s.requests.toLocaleString();
$("connections").textContent = s.connections_open.toLocaleString();
$("accepted").textContent = `open, of ${s.connections_total.toLocaleString()} accepted`;
$("memory").textContent = size(used);
$("used").style.width = 100 * used / Math.max(1, s.memory_total) + "%";
$("sent").textContent = size(s.octets_sent);
$("errors").textContent = (s.responses_4xx + s.responses_5xx).toLocaleString();
if (t > 0) {
const rate = Math.max(0, s.requests - last.requests - 1) / t;
$("rate").textContent = `${rate.toFixed(rate < 10 ? 1 : 0)} a second`;
$("speed").textContent = `${size((s.octets_sent - last.octets_sent) / t | 0)} a second`;
keep(rates, rate); keep(open, s.connections_open);
draw("plot", rates); draw("plot2", open);
$("peak").textContent = `at most ${Math.max(...rates).toFixed(0)}`;
$("most").textContent = `at most ${Math.max(...open)}`;
}
$("table").replaceChildren();
for (const c of [s.tcp[0] && Object.keys(s.tcp[0]), ...s.tcp]) { const tr = $("table").insertRow(); for (const v of Object.values(c || {})) tr.insertCell().textContent = v ?? "-"; }
$("tcp").textContent = `${s.tcp.length} of ${s.tcp_total}`;
last = s;
}
show(last);
setInterval(async () => {
try { show(await (await fetch("/status.json")).json()); $("gone").textContent = ""; }
catch { $("gone").textContent = "No answer since " + new Date().toLocaleTimeString() + "."; }
}, 1000);
