// Makes a key, a request for a certificate and a .p12, all in this page: the private key never leaves the browser.
//
//   const key = await makeKey("p256");
//   const request = await csr(key, { commonName: "alice" });            // PEM, to send
//   const secret = password();
//   const file = await p12({ key, chain: answer, label: "Gate", password: secret, profile: "compat" });
//
// Knows PKCS#10 (RFC 2986) and PKCS#12 (RFC 7292, 9879), in the very layouts that the server writes. Does not know the
// page, and sends nothing anywhere. WebCrypto does the work; triple DES and the key derivation of PKCS#12, which it does
// not have, come from the vendored forge.

// The page loads forge before this module, by a tag of its own, checked against the hash:
//   <script defer src="…/forge.min.js" integrity="sha256-qLbVAmfXCdsEEaWY78TFe//WEn8hQQM59xyRnjvecls="></script>
// As a module it would look for the global object by evaluating text, which our Content-Security-Policy reports; and to
// add a tag from a script, Trusted Types forbid. Imported here all the same where the tag is missing: it works.
if (!globalThis.forge) await import("./forge.min.js");

const { forge } = globalThis;
const subtle = globalThis.crypto?.subtle;

/** Letters and digits that cannot be taken for one another: no 0 O o, no 1 I l. */
export const ALPHABET = "23456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnpqrstuvwxyz";
const PASSWORD_CHARACTERS = 20; // 116 bits: the old cryptography of `compat` is as strong as its password

const COMPAT_ROUNDS = 2_048; // as the MAC has in any case: whoever guesses passwords tries them on that
const MODERN_ROUNDS = 100_000; // Windows refuses more than 600,000
const MAC_ROUNDS = 2_048;

const KINDS = {
  p256: { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256", signature: "1.2.840.10045.4.3.2" },
  p384: { name: "ECDSA", namedCurve: "P-384", hash: "SHA-384", signature: "1.2.840.10045.4.3.3" },
  rsa2048: { name: "RSASSA-PKCS1-v1_5", modulusLength: 2048, hash: "SHA-256", signature: "1.2.840.113549.1.1.11" },
  rsa3072: { name: "RSASSA-PKCS1-v1_5", modulusLength: 3072, hash: "SHA-256", signature: "1.2.840.113549.1.1.11" },
};

/** Why no key can be made here, as a sentence, or null when one can. */
export function unavailable() {
  if (globalThis.isSecureContext === false) return "This page did not come over a secure connection, so the browser makes no keys for it.";
  return subtle ? null : "This browser cannot make keys in a page.";
}

/** A new key: "p256", "p384", "rsa2048" or "rsa3072". It lives in this page's memory and is gone with it. */
export async function makeKey(kind = "p256") {
  const algorithm = KINDS[kind];
  if (!algorithm) throw new TypeError(`no kind of key is called ${kind}`);
  const reason = unavailable();
  if (reason) throw new Error(reason);
  // Extractable, since it has to get into the .p12.
  const pair = await subtle.generateKey({ publicExponent: new Uint8Array([1, 0, 1]), ...algorithm }, true, ["sign", "verify"]);
  return { kind, pair };
}

/** A request for a certificate (PKCS#10, PEM), signed with the key: that proves that whoever asks holds it. */
export async function csr(key, { commonName }) {
  const algorithm = KINDS[key.kind];
  // RFC 5280 A.1: at most 64 characters; what the certificate says is the server's affair anyway.
  const name = [...commonName].slice(0, 64).join("");
  const subject = sequence(set(sequence(oid("2.5.4.3"), der(0x0c, utf8(name)))));
  const spki = new Uint8Array(await subtle.exportKey("spki", key.pair.publicKey));
  const info = sequence(integer(0), subject, spki, der(0xa0));
  const raw = new Uint8Array(await subtle.sign(algorithm, key.pair.privateKey, info));
  const signature = algorithm.name === "ECDSA" ? ecdsaDer(raw) : raw;
  const how = algorithm.name === "ECDSA" ? sequence(oid(algorithm.signature)) : sequence(oid(algorithm.signature), NULL);
  return pem("CERTIFICATE REQUEST", sequence(info, how, der(0x03, [0], signature)));
}

/** A new password for a .p12, to be shown once. */
export function password() {
  // Bytes from the last, incomplete round of the alphabet are thrown away: no character is likelier than another.
  const limit = 256 - (256 % ALPHABET.length);
  let made = "";
  while (made.length < PASSWORD_CHARACTERS) {
    for (const byte of random(32)) {
      if (byte < limit && made.length < PASSWORD_CHARACTERS) made += ALPHABET[byte % ALPHABET.length];
    }
  }
  return made;
}

/**
 * A .p12 with the key, its certificate and the intermediates: bytes to be saved as a file.
 *
 * `chain`: PEM text, the certificate first. Roots in it are left out: systems offer to trust a root that comes along for
 * every server in the world. `profile`: "compat" (3DES, opens everywhere), "modern" (AES-256), "fips" (AES-256, PBMAC1).
 */
export async function p12({ key, chain, label, password: secret, profile = "compat" }) {
  const protect = PROFILES[profile];
  if (!protect) throw new TypeError(`no profile is called ${profile}`);
  if (!/^[\x21-\x7e]{14,}$/.test(secret)) throw new TypeError("the password has to have 14 characters of ASCII or more");
  const [leaf, ...above] = certificates(chain);
  if (!leaf) throw new TypeError("there is no certificate");
  const spki = new Uint8Array(await subtle.exportKey("spki", key.pair.publicKey));
  if (!binary(leaf).includes(binary(spki))) throw new Error("the certificate is not for this key");

  const id = new Uint8Array(await subtle.digest("SHA-1", leaf)); // pairs key and certificate; no security hangs on it
  const attributes = set(
    sequence(oid("1.2.840.113549.1.9.21"), set(der(0x04, id))), // localKeyId
    sequence(oid("1.2.840.113549.1.9.20"), set(der(0x1e, utf16(label)))), // friendlyName
  );
  const bags = sequence(certificateBag(leaf, attributes), ...above.filter((one) => !selfIssued(one)).map((one) => certificateBag(one)));
  const pkcs8 = new Uint8Array(await subtle.exportKey("pkcs8", key.pair.privateKey));
  try {
    const shrouded = await protect.encrypt(pkcs8, secret);
    const keyBag = sequence(
      oid("1.2.840.113549.1.12.10.1.2"),
      explicit(sequence(shrouded.algorithm, der(0x04, shrouded.data))),
      attributes,
    );
    const hidden = await protect.encrypt(bags, secret);
    const encrypted = sequence(integer(0), sequence(oid(DATA), hidden.algorithm, der(0x80, hidden.data)));
    const safe = sequence(
      sequence(oid("1.2.840.113549.1.7.6"), explicit(encrypted)),
      sequence(oid(DATA), explicit(der(0x04, sequence(keyBag)))),
    );
    return sequence(integer(3), sequence(oid(DATA), explicit(der(0x04, safe))), await protect.mac(safe, secret));
  } finally {
    pkcs8.fill(0);
  }
}

// How a .p12 is protected: certificates and key alike, never a mix, as src/mutualgate/authorities/p12.py does it.

const DATA = "1.2.840.113549.1.7.1";

const PROFILES = {
  compat: { encrypt: tripleDes, mac: (data, secret) => oldMac("SHA-1", "1.3.14.3.2.26", data, secret) },
  modern: { encrypt: aes, mac: (data, secret) => oldMac("SHA-256", "2.16.840.1.101.3.4.2.1", data, secret) },
  fips: { encrypt: aes, mac: pbmac1 },
};

/** pbeWithSHA1And3-KeyTripleDES-CBC (RFC 7292 C): all that old systems read. */
async function tripleDes(data, secret) {
  const salt = random(8);
  const derive = (what, bytes) => derived(secret, salt, what, COMPAT_ROUNDS, bytes, "SHA-1");
  const cipher = forge.cipher.createCipher("3DES-CBC", forge.util.createBuffer(binary(derive(1, 24))));
  cipher.start({ iv: binary(derive(2, 8)) });
  cipher.update(forge.util.createBuffer(binary(data)));
  if (!cipher.finish()) throw new Error("it could not be encrypted");
  const algorithm = sequence(oid("1.2.840.113549.1.12.1.3"), sequence(der(0x04, salt), integer(COMPAT_ROUNDS)));
  return { algorithm, data: bytes(cipher.output.getBytes()) };
}

/** PBES2 (RFC 8018 6.2): PBKDF2 with HMAC-SHA-256, AES-256-CBC. */
async function aes(data, secret) {
  const salt = random(16);
  const iv = random(16);
  const base = await subtle.importKey("raw", utf8(secret), "PBKDF2", false, ["deriveKey"]);
  const how = { name: "PBKDF2", hash: "SHA-256", salt, iterations: MODERN_ROUNDS };
  const key = await subtle.deriveKey(how, base, { name: "AES-CBC", length: 256 }, false, ["encrypt"]);
  const encrypted = new Uint8Array(await subtle.encrypt({ name: "AES-CBC", iv }, key, data));
  const scheme = sequence(oid("2.16.840.1.101.3.4.1.42"), der(0x04, iv));
  const algorithm = sequence(oid("1.2.840.113549.1.5.13"), sequence(pbkdf2(salt, MODERN_ROUNDS), scheme));
  return { algorithm, data: encrypted };
}

/** The MAC of RFC 7292 B, which all readers know. */
async function oldMac(hash, digestOid, data, secret) {
  const salt = random(8);
  const raw = derived(secret, salt, 3, MAC_ROUNDS, hash === "SHA-1" ? 20 : 32, hash);
  const digest = await hmac(hash, raw, data);
  return sequence(sequence(sequence(oid(digestOid), NULL), der(0x04, digest)), der(0x04, salt), integer(MAC_ROUNDS));
}

/** PBMAC1 (RFC 9879): the MAC with PBKDF2, which FIPS hosts take. Salt and rounds of the old place are not used. */
async function pbmac1(data, secret) {
  const salt = random(16);
  const base = await subtle.importKey("raw", utf8(secret), "PBKDF2", false, ["deriveBits"]);
  const how = { name: "PBKDF2", hash: "SHA-256", salt, iterations: MODERN_ROUNDS };
  const raw = new Uint8Array(await subtle.deriveBits(how, base, 256));
  const digest = await hmac("SHA-256", raw, data);
  const algorithm = sequence(oid("1.2.840.113549.1.5.14"), sequence(pbkdf2(salt, MODERN_ROUNDS, 32), HMAC_SHA256));
  return sequence(sequence(algorithm, der(0x04, digest)), der(0x04, utf8("NOT USED")));
}

function pbkdf2(salt, rounds, length) {
  const size = length === undefined ? [] : [integer(length)];
  return sequence(oid("1.2.840.113549.1.5.12"), sequence(der(0x04, salt), integer(rounds), ...size, HMAC_SHA256));
}

/** The key derivation of RFC 7292 B.2. `what`: 1 a key, 2 an IV, 3 a MAC's key. */
function derived(secret, salt, what, rounds, length, hash) {
  const digest = (hash === "SHA-1" ? forge.md.sha1 : forge.md.sha256).create();
  const made = forge.pkcs12.generateKey(secret, forge.util.createBuffer(binary(salt)), what, rounds, length, digest);
  return bytes(made.getBytes());
}

async function hmac(hash, raw, data) {
  const key = await subtle.importKey("raw", raw, { name: "HMAC", hash }, false, ["sign"]);
  return new Uint8Array(await subtle.sign("HMAC", key, data));
}

function certificateBag(certificate, attributes) {
  const bag = sequence(oid("1.2.840.113549.1.9.22.1"), explicit(der(0x04, certificate)));
  const parts = [oid("1.2.840.113549.1.12.10.1.3"), explicit(bag)];
  return sequence(...parts, ...(attributes ? [attributes] : []));
}

// Certificates, as far as they have to be looked into.

/** The certificates in PEM text, as DER. */
function certificates(text) {
  const found = text.matchAll(/-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----/g);
  return [...found].map((match) => bytes(atob(match[1].replace(/\s+/g, ""))));
}

/** Whether issuer and subject are the same (RFC 5280 4.1): tbsCertificate, and in it past version and serial. */
function selfIssued(certificate) {
  const fields = children(children(certificate)[0]);
  if (fields[0][0] === 0xa0) fields.shift();
  const [, , issuer, , subject] = fields;
  return binary(issuer) === binary(subject);
}

/** The elements inside a DER element. */
function children(element) {
  const [, start] = header(element, 0);
  const found = [];
  for (let at = start; at < element.length; ) {
    const [end] = header(element, at);
    found.push(element.subarray(at, end));
    at = end;
  }
  return found;
}

/** End of the element at `at`, and where its contents begin. */
function header(data, at) {
  let length = data[at + 1];
  let start = at + 2;
  if (length > 0x80) {
    const octets = length & 0x7f;
    length = 0;
    for (const byte of data.subarray(start, start + octets)) length = length * 256 + byte;
    start += octets;
  }
  const end = start + length;
  if (!(end <= data.length)) throw new Error("the certificate is cut off");
  return [end, start];
}

// DER (X.690), written.

/** An element: identifier octet, length, contents. */
function der(tag, ...parts) {
  const size = parts.reduce((sum, part) => sum + part.length, 0);
  const length = [];
  if (size < 0x80) length.push(size);
  else {
    for (let rest = size; rest > 0; rest = Math.floor(rest / 256)) length.unshift(rest % 256);
    length.unshift(0x80 | length.length);
  }
  const made = new Uint8Array(1 + length.length + size);
  made[0] = tag;
  made.set(length, 1);
  let at = 1 + length.length;
  for (const part of parts) {
    made.set(part, at);
    at += part.length;
  }
  return made;
}

const sequence = (...parts) => der(0x30, ...parts);
const explicit = (...parts) => der(0xa0, ...parts);
const set = (...parts) => der(0x31, ...parts.sort(inOrder)); // X.690 11.6: DER sorts what is in a SET OF
const NULL = der(0x05);

function inOrder(one, other) {
  for (let at = 0; at < Math.min(one.length, other.length); at++) {
    if (one[at] !== other[at]) return one[at] - other[at];
  }
  return one.length - other.length;
}

function integer(value) {
  const made = [];
  for (let rest = value; rest > 0; rest = Math.floor(rest / 256)) made.unshift(rest % 256);
  if (made.length === 0 || made[0] & 0x80) made.unshift(0);
  return der(0x02, made);
}

function oid(text) {
  const [first, second, ...rest] = text.split(".").map(Number);
  const made = [first * 40 + second];
  for (const arc of rest) {
    const groups = [arc % 128];
    for (let left = Math.floor(arc / 128); left > 0; left = Math.floor(left / 128)) groups.unshift(0x80 | (left % 128));
    made.push(...groups);
  }
  return der(0x06, made);
}

const HMAC_SHA256 = sequence(oid("1.2.840.113549.2.9"), NULL);

/** An ECDSA signature as certificates have it: WebCrypto gives r and s side by side. */
function ecdsaDer(raw) {
  const half = raw.length / 2;
  const number = (octets) => {
    let from = 0;
    while (from < octets.length - 1 && octets[from] === 0) from++;
    return der(0x02, octets[from] & 0x80 ? [0] : [], octets.subarray(from));
  };
  return sequence(number(raw.subarray(0, half)), number(raw.subarray(half)));
}

function pem(label, data) {
  const lines = btoa(binary(data)).match(/.{1,64}/g).join("\n");
  return `-----BEGIN ${label}-----\n${lines}\n-----END ${label}-----\n`;
}

function random(length) {
  return globalThis.crypto.getRandomValues(new Uint8Array(length));
}

function utf8(text) {
  return new TextEncoder().encode(text);
}

function utf16(text) {
  return Uint8Array.from({ length: text.length * 2 }, (_, at) => (text.charCodeAt(at >> 1) >> (at % 2 ? 0 : 8)) & 0xff);
}

/** Bytes as a string of characters up to U+00FF, as forge and btoa take them. */
function binary(data) {
  let text = "";
  for (let at = 0; at < data.length; at += 4096) text += String.fromCharCode(...data.subarray(at, at + 4096));
  return text;
}

function bytes(text) {
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}
