// Fetches https://git.test/echo by the means that it is told, none of which reads HTTPS_PROXY by itself.
const url = "https://git.test/echo";
const request = "GET /echo HTTP/1.0\r\nHost: git.test\r\n\r\n";
const failed = (err) => {
  console.error(err);
  process.exitCode = 1;
};

const means = {
  tls() {
    const socket = require("tls").connect({ host: "git.test", port: 443, servername: "git.test" }, () => socket.write(request));
    socket.on("error", failed).pipe(process.stdout);
  },
  agent() {
    const https = require("https");
    https.get(url, { agent: new https.Agent() }, (res) => res.pipe(process.stdout)).on("error", failed);
  },
  http2() {
    const session = require("http2").connect("https://git.test").on("error", failed);
    session.request({ ":path": "/echo" }).on("end", () => session.close()).on("error", failed).pipe(process.stdout);
  },
  undici() {
    const { Agent, request } = require("undici");
    request(url, { dispatcher: new Agent() }).then(async ({ body }) => console.log(await body.text())).catch(failed);
  },
  roots() {
    const ca = require("fs").readFileSync("/etc/ssl/certs/ca-certificates.crt");
    require("https").get(url, { ca }, (res) => res.pipe(process.stdout)).on("error", failed);
  },
};
means[process.argv[2]]();
