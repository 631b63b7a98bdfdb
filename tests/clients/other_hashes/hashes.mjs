// Hashes that better-auth, Firebase's scrypt and phpass write, by their packages for Node.js: a JSON object a line, with the user's name
// and password, and the hash.

import { hashPassword } from "@better-auth/utils/password";
import { FirebaseScrypt } from "firebase-scrypt";
import wordpress from "wordpress-hash-node";

const tell = (username, password, hash) => console.log(JSON.stringify({ username, password, hash }));
const password = (name) => `pässword 密码 of ${name}`;

tell("better-auth", password("better-auth"), await hashPassword(password("better-auth")));
// It normalises what was typed.
tell("better-auth.typed", "pa\u0308ssword", await hashPassword("p\u00e4ssword"));

// The parameters that `firebase auth:export` comes with.
const config = {
    memCost: 14,
    rounds: 8,
    saltSeparator: "Bw==",
    signerKey: "jxspr8Ki0RYycVU8zykbdLGjFQ3McFUH0uiiTvC8pVMXAn210wjLNmdZJzxUECKbm0QsEmYUSDzZvpjeJ9WmXA==",
};
const salt = "42xEC+ixf3L2lw==";
const hash = await new FirebaseScrypt(config).hash(password("firebase"), salt);
const { memCost, rounds, saltSeparator, signerKey } = config;
tell(
    "firebase",
    password("firebase"),
    `$fbscrypt$v=1,n=${memCost},r=${rounds},p=1,ss=${saltSeparator},sk=${signerKey}$${salt}$${hash}`,
);

// This package hashes the characters of a text, not its UTF-8, which PHP hashes.
tell("phpass", "password of phpass", wordpress.HashPassword("password of phpass"));
