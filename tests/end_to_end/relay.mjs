// Lets a WebSocket client that knows no client certificates through to the gate:
//
//   node relay.mjs h1|h2 PORT_OF_GATE CERTIFICATE KEY ROOT AUTHORITY
//
// listens on a free port of the loopback address and prints it. Each connection becomes one over TLS with the certificate: as
// it is ("h1", RFC 6455), or as a stream of HTTP/2 ("h2", RFC 8441). Frames are passed on unread.
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { connect as connectH2 } from "node:http2";
import { createServer } from "node:net";
import { connect as connectTls } from "node:tls";

const [how, port, certificate, key, root, authority] = process.argv.slice(2);
const proof = {
  cert: readFileSync(certificate), key: readFileSync(key), ca: readFileSync(root), servername: "localhost",
};
const ACCEPT = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"; // RFC 6455 1.3
const OF_HTTP_1 = ["connection", "upgrade", "host", "sec-websocket-key"];

// Reads the head of the request. Autobahn's servers insist on their own port in Host, which is not the relay's.
function withHead(near, then) {
  let received = Buffer.alloc(0);
  near.on("data", function more(data) {
    received = Buffer.concat([received, data]);
    const end = received.indexOf("\r\n\r\n");
    if (end < 0) return;
    near.off("data", more);
    near.pause();
    const head = received.subarray(0, end).toString("latin1").replace(/^host:.*$/im, `Host: ${authority}`);
    then(head, received.subarray(end + 4));
  });
}

function join(near, far, rest) {
  far.write(rest);
  near.pipe(far);
  far.pipe(near);
}

function overH1(near) {
  const far = connectTls({ host: "127.0.0.1", port, ALPNProtocols: ["http/1.1"], allowHalfOpen: true, ...proof });
  near.on("error", () => far.destroy());
  far.on("error", () => near.destroy());
  withHead(near, (head, rest) => {
    far.write(`${head}\r\n\r\n`, "latin1");
    join(near, far, rest);
  });
}

function overH2(near) {
  const session = connectH2(`https://127.0.0.1:${port}`, proof);
  session.on("error", () => near.destroy());
  near.on("error", () => session.destroy());
  near.on("close", () => session.destroy());
  withHead(near, (head, rest) => {
    const [line, ...lines] = head.split("\r\n");
    const fields = {
      ":method": "CONNECT", ":protocol": "websocket", ":scheme": "https", ":path": line.split(" ")[1],
      ":authority": authority,
    };
    let nonce = "";
    for (const field of lines) {
      const [, name, value] = /^([^:]*): *(.*)$/.exec(field);
      if (name.toLowerCase() === "sec-websocket-key") nonce = value;
      if (!OF_HTTP_1.includes(name.toLowerCase())) fields[name.toLowerCase()] = value;
    }
    const ask = () => {
      const stream = session.request(fields, { endStream: false });
      stream.on("error", () => near.destroy());
      stream.on("close", () => session.close());
      stream.on("response", (answer) => {
        if (answer[":status"] !== 200) {
          near.end(`HTTP/1.1 ${answer[":status"]} No\r\ncontent-length: 0\r\n\r\n`);
          return;
        }
        const accept = createHash("sha1").update(nonce + ACCEPT).digest("base64");
        near.write(`HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n`);
        near.write(`sec-websocket-accept: ${accept}\r\n`);
        for (const [name, value] of Object.entries(answer)) {
          if (!name.startsWith(":")) near.write(`${name}: ${value}\r\n`);
        }
        near.write("\r\n");
        join(near, stream, rest);
      });
    };
    // RFC 8441 3: not before the gate has said that it may be asked.
    if (session.remoteSettings?.enableConnectProtocol) ask();
    else session.once("remoteSettings", ask);
  });
}

const server = createServer({ allowHalfOpen: true, noDelay: true }, how === "h2" ? overH2 : overH1);
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
