// An identity provider on loopback, made of npm's samlp: signs the configured person in, no questions asked.
// Prints its port, then answers until its standard input ends.
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import samlp from "samlp";
import SessionParticipants from "samlp/lib/sessionParticipants/index.js";

const { issuer, key, cert } = JSON.parse(readFileSync(process.argv[2], "utf8"));
const REDIRECT = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect";
const participants = new SessionParticipants([]);
const session = {}; // one browser at a time
let service = {}; // what it knows of the service: acs, logout, cert; and whom it signs in

const read = (request) =>
  new Promise((resolve) => {
    let body = "";
    request.on("data", (chunk) => (body += chunk));
    request.on("end", () => resolve(body));
  });

const mapper = (person) => ({
  getClaims: () => person.attributes,
  getNameIdentifier: () => ({ nameIdentifier: person.name_id, nameIdentifierFormat: person.format }),
});

const signIn = (request, response, next) => {
  const sessionIndex = `s-${Date.now()}`;
  participants._participants.push({
    serviceProviderId: service.entity_id,
    nameId: service.person.name_id,
    nameIdFormat: service.person.format,
    sessionIndex,
    serviceProviderLogoutURL: service.logout,
    cert: service.cert,
    binding: REDIRECT,
  });
  samlp.auth({
    issuer, key, cert, sessionIndex,
    signingCert: service.cert, // refuses questions that are not signed with it
    destination: service.acs,
    recipient: service.acs,
    lifetimeInSeconds: 300,
    profileMapper: mapper,
    getUserFromRequest: () => service.person,
    getPostURL: (audience, dom, req, done) => done(null, service.acs),
    ...service.options,
  })(request, response, next);
};

const signOut = samlp.logout({
  issuer, key, cert, deflate: true, protocolBinding: REDIRECT, sessionParticipants: participants,
});

const server = createServer(async (request, response) => {
  const url = new URL(request.url, "http://localhost");
  request.query = Object.fromEntries(url.searchParams);
  request.body = {};
  request.session = session;
  response.set = (name, value) => response.setHeader(name, value);
  response.send = (said) => {
    if (typeof said === "number") response.statusCode = said;
    response.end(String(said));
  };
  response.redirect = (where) => response.writeHead(302, { Location: where }).end();
  const next = (error) => response.writeHead(400).end(String(error));
  if (url.pathname === "/service") {
    service = JSON.parse(await read(request));
    response.end();
  } else if (url.pathname === "/metadata") {
    Object.assign(request, { protocol: "http", originalUrl: request.url });
    samlp.metadata({ issuer, cert, redirectEndpointPath: "/sso", logoutEndpointPaths: { redirect: "/slo" } })(request, response, next);
  } else if (url.pathname === "/sso") {
    signIn(request, response, next);
  } else if (url.pathname === "/slo") {
    signOut(request, response, next);
  } else {
    response.writeHead(404).end();
  }
});
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
process.stdin.on("end", () => process.exit(0)).resume();
