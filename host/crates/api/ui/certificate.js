// One certificate.

import { ask } from "./api.js";
import { h } from "./dom.js";
import { address, chip, code, facts, heading, nothing, panel, status, time } from "./parts.js";
import { DATE, moment } from "./words.js";

const grouped = (hex) => code(hex.match(/.{1,4}/g)?.join(" ") ?? hex);

export const certificate = (fingerprint) => ({
  title: "Certificate",
  load: async (signal) => (await ask(`certificates/${encodeURIComponent(fingerprint)}`, signal)).value,
  missing: (error) =>
    error.status === 404 && [
      heading("Certificate"),
      nothing(
        "There is no such certificate, or not any more: a renewed one has an address of its own. ",
        h("a", { href: address(["certificates"]) }, "All certificates"),
      ),
    ],
  draw(c) {
    const early = Date.parse(c.notBefore) > Date.now();
    return [
      heading(
        c.commonName || c.sans[0] || "Without a name",
        h("a", { href: address(["certificates"]) }, "Certificates"),
        status(early ? "warning" : c.status, early ? "Not valid yet" : DATE[c.status]),
      ),
      panel(
        "Valid",
        facts(
          ["From", [moment(c.notBefore), " (", time(c.notBefore), ")"]],
          ["Until", [moment(c.notAfter), " (", time(c.notAfter), ")"]],
        ),
      ),
      panel(
        "Names",
        facts(
          ["Common name", c.commonName],
          [
            "Also for",
            c.sans.length
              ? h(
                  "span",
                  { class: "chips" },
                  c.sans.map((n) => chip(n)),
                )
              : "",
          ],
          ["Organization", c.organization],
          ["Country", c.country],
        ),
      ),
      panel("Issuer", facts(["Name", c.issuerCN], ["Organization", c.issuerOrg], ["Country", c.issuerCountry])),
      panel(
        "Key and signature",
        facts(
          ["Key", [c.keyType, c.keySize ? ` ${c.keySize}` : ""].join("")],
          ["Signature", c.signatureAlgorithm],
          ["Version", c.version],
          ["Serial number", code(c.serialNumber)],
          ["Fingerprint (SHA-256)", grouped(c.certFingerprint)],
          ["Of the public key", grouped(c.publicKeyFingerprint)],
        ),
      ),
    ];
  },
});
