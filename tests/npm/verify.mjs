// Verifies a bundle with @sigstore/verify, from files only.
// Usage: node verify.mjs NODE_MODULES TRUSTED_ROOT BUNDLE SUBJECT ISSUER   (exit 0 and the payload, or 1 and the error's code)
//        node verify.mjs NODE_MODULES TRUSTED_ROOT BUNDLE PUBLIC_KEY       a key, and neither log nor time stamp
import { createPublicKey } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

const [modules, root, content, subject, issuer] = process.argv.slice(2);
const load = createRequire(`${modules}/`);
const { bundleFromJSON } = load('@sigstore/bundle');
const { TrustedRoot } = load('@sigstore/protobuf-specs');
const { Verifier, toSignedEntity, toTrustMaterial } = load('@sigstore/verify');

const read = (path) => JSON.parse(readFileSync(path, 'utf8'));
try {
  const bundle = bundleFromJSON(read(content));
  const trusted = TrustedRoot.fromJSON(read(root));
  if (issuer) {
    const policy = { subjectAlternativeName: subject, extensions: { issuer } };
    new Verifier(toTrustMaterial(trusted)).verify(toSignedEntity(bundle), policy);
  } else {
    const publicKey = createPublicKey(readFileSync(subject));
    const keys = () => ({ publicKey, validFor: () => true });
    const none = { tlogThreshold: 0, ctlogThreshold: 0, timestampThreshold: 0 };
    new Verifier(toTrustMaterial(trusted, keys), none).verify(toSignedEntity(bundle));
  }
  process.stdout.write(bundle.content.dsseEnvelope.payload);
} catch (error) {
  process.stderr.write(`${error.code ?? error.name}: ${error.message}\n`);
  process.exitCode = 1;
}
