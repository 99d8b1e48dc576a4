// The certified OpenID provider, as a company would run it: one client, people by their log-in name.
import { generateKeyPairSync } from "node:crypto";
import Provider from "oidc-provider";

const asked = JSON.parse(process.argv[2]);
const key = generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey.export({ format: "jwk" });

const provider = new Provider(`http://127.0.0.1:${asked.port}`, {
  clients: asked.clients,
  jwks: { keys: [{ ...key, kid: asked.kid, use: "sig", alg: "RS256" }] },
  cookies: { keys: ["only for tests"] },
  claims: { openid: ["sub"], email: ["email", "email_verified"], profile: ["name", "groups"] },
  // Without its guard against addresses of this machine, where the tests' workspace stands.
  fetch: (url, { dispatcher, ...options }) => fetch(url, options),
  features: { backchannelLogout: { enabled: true } },
  findAccount: (_, id) => ({
    accountId: id,
    claims: () => ({
      sub: id,
      name: id[0].toUpperCase() + id.slice(1),
      email: `${id}@${asked.domain}`,
      email_verified: true,
      groups: ["everybody", "reviewers"],
    }),
  }),
});
for (const event of ["server_error", "backchannel.error"]) {
  provider.on(event, (_, error) => console.error(event, error));
}
provider.listen(asked.port, "127.0.0.1", () => console.log("ready"));
